-- wrk: batches of 20 events of about 1 kB, every event with an id of its own.
local batch = 20
local thread_count = 0

function setup(thread)
    thread:set("number", thread_count)
    thread_count = thread_count + 1
end

function init(args)
    math.randomseed(number + 1)
    run = string.format("%x-%d", os.time(), number)
    sent = 0
end

local function event(n)
    return string.format([[{"id":"%s-%d","type":"page_viewed","time":"2026-11-20T10:%02d:%02d.123+09:00",]] ..
        [["ids":{"cookie":"c-%d","device":"d-%d"},"consent":{"analytics":true,"ads":false},]] ..
        [["page":{"url":"https://shop.example.jp/item/%d?utm_source=line&utm_medium=social&utm_campaign=autumn_sale",]] ..
        [["title":"秋の新作コート 店舗受取対応 送料無料 %d","referrer":"https://search.example.jp/?q=%%E3%%82%%B3%%E3%%83%%BC%%E3%%83%%88"},]] ..
        [["device":{"kind":"mobile","os":"iOS 17.1","browser":"Mobile Safari","locale":"ja-JP","screen":"390x844"},]] ..
        [["client":{"user_agent":"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) ]] ..
        [[Version/17.1 Mobile/15E148 Safari/604.1"},"properties":{"list":"recommended","position":%d,"price":"%d",]] ..
        [["experiment":"checkout-button-colour-b","stock":"in_store_and_online"}}]],
        run, n, n / 60 % 60, n % 60, math.random(100000), math.random(100000), n % 5000, n, n % 40, 1000 + n % 9000)
end

function request()
    local events = {}
    for i = 1, batch do
        events[i] = event(sent + i)
    end
    sent = sent + batch
    return wrk.format("POST", "/v1/events", {["Content-Type"] = "application/json"}, "[" .. table.concat(events, ",") .. "]")
end

local wrong = 0
function response(status, headers, body)
    if status ~= 200 or not body:find('"accepted":20,', 1, true) then
        wrong = wrong + 1
        if wrong < 4 then
            io.stderr:write(status, " ", body, "\n")
        end
    end
end
