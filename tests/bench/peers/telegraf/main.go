// Telegraf with no more than the plugins of this benchmark, as its own custom builder would make it: agent, HTTP listener, JSON parser
// and Kafka output of the release that go.mod names. usage: main CONFIG; serves until standard input ends.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/influxdata/telegraf/agent"
	"github.com/influxdata/telegraf/config"
	_ "github.com/influxdata/telegraf/plugins/inputs/http_listener_v2"
	_ "github.com/influxdata/telegraf/plugins/outputs/kafka"
	_ "github.com/influxdata/telegraf/plugins/parsers/json"
)

func serve(path string) error {
	settings := config.NewConfig()
	if err := settings.LoadConfig(path); err != nil {
		return err
	}
	ended, end := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		end()
	}()
	return agent.NewAgent(settings).Run(ended)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: telegraf CONFIG")
		os.Exit(2)
	}
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
