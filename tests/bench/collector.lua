-- wrk: events of about 1 kB, each with an id of its own. Arguments: native or segment, events a request, pause in ms (0: none), the
-- server's name: telegraf answers 204.
local thread_count = 0

function setup(thread)
    thread:set("number", thread_count)
    thread_count = thread_count + 1
end

function init(args)
    math.randomseed(number + 1)
    run = string.format("%x-%d", os.time(), number)
    sent = 0
    form, batch, pause = args[1] or "native", tonumber(args[2] or 20), tonumber(args[3] or 0)
    silent = args[4] == "telegraf"
    if pause > 0 then
        delay = function() return math.floor(math.random() * 2 * pause) end
    end
end

local title, agent = "秋の新作コート 店舗受取対応 送料無料",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1"

local function native(n)
    return string.format([[{"id":"%s-%d","type":"page_viewed","time":"2026-11-20T10:%02d:%02d.123+09:00",]] ..
        [["ids":{"cookie":"c-%d","device":"d-%d"},"consent":{"analytics":true,"ads":false},]] ..
        [["page":{"url":"https://shop.example.jp/item/%d?utm_source=line&utm_medium=social&utm_campaign=autumn_sale",]] ..
        [["title":"%s %d","referrer":"https://search.example.jp/?q=%%E3%%82%%B3%%E3%%83%%BC%%E3%%83%%88"},]] ..
        [["device":{"kind":"mobile","os":"iOS 17.1","browser":"Mobile Safari","locale":"ja-JP","screen":"390x844"},]] ..
        [["client":{"user_agent":"%s"},"properties":{"list":"recommended","position":%d,"price":"%d",]] ..
        [["experiment":"checkout-button-colour-b","stock":"in_store_and_online"}}]],
        run, n, n / 60 % 60, n % 60, math.random(100000), math.random(100000), n % 5000, title, n, agent, n % 40, 1000 + n % 9000)
end

local function segment(n)
    return string.format([[{"messageId":"%s-%d","type":"track","event":"Product Viewed","timestamp":"2026-11-20T01:%02d:%02d.123Z",]] ..
        [["anonymousId":"c-%d","context":{"library":{"name":"analytics.js","version":"2.1.0"},"locale":"ja-JP","userAgent":"%s",]] ..
        [["page":{"url":"https://shop.example.jp/item/%d?utm_source=line&utm_medium=social&utm_campaign=autumn_sale","path":"/item/%d",]] ..
        [["title":"%s %d","referrer":"https://search.example.jp/?q=%%E3%%82%%B3%%E3%%83%%BC%%E3%%83%%88"},]] ..
        [["screen":{"width":390,"height":844},"campaign":{"source":"line","medium":"social","name":"autumn_sale"}},]] ..
        [["properties":{"product_id":"p-%d","list":"recommended","position":%d,"price":%d,"currency":"JPY",]] ..
        [["experiment":"checkout-button-colour-b","stock":"in_store_and_online"},"integrations":{}}]],
        run, n, n / 60 % 60, n % 60, math.random(100000), agent, n % 5000, n % 5000, title, n, n % 5000, n % 40, 1000 + n % 9000)
end

function request()
    local make, events = form == "segment" and segment or native, {}
    for i = 1, batch do
        events[i] = make(sent + i)
    end
    sent = sent + batch
    local body, path = events[1], form == "segment" and "/v1/track" or "/v1/events"
    if batch > 1 then
        body = "[" .. table.concat(events, ",") .. "]"
        if form == "segment" then
            body, path = '{"batch":' .. body .. "}", "/v1/batch"
        end
    end
    return wrk.format("POST", path, {["Content-Type"] = "application/json"}, body)
end

local wrong = 0
function response(status, headers, body)
    local said = form == "segment" and '"success":true' or '"accepted":' .. batch .. ","
    if silent and status ~= 204 or not silent and (status ~= 200 or not body:find(said, 1, true)) then
        wrong = wrong + 1
        if wrong < 4 then
            io.stderr:write(status, " ", body, "\n")
        end
    end
end
