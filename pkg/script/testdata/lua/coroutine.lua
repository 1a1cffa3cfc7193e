-- coroutines
local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) local d, e = coroutine.yield(c * 2) return d + e end) local t = {} for i, args in ipairs({{1, 2}, {10}, {3, 4}}) do local ok, v = coroutine.resume(co, unpack(args)) t[i] = tostring(ok) .. v end return table.concat(t, " ")
local co = coroutine.create(function() end) coroutine.resume(co) return {tostring(coroutine.resume(co)), select(2, coroutine.resume(co))}
local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) return co() .. co() .. co()
local co = coroutine.wrap(function() end) co() co()
local co = coroutine.wrap(function() error("in co") end) co()
local co = coroutine.wrap(function() error({err = "table"}) end) co()
local co = coroutine.create(function() error("in co") end) return {tostring(coroutine.resume(co)), coroutine.status(co)}
local co = coroutine.create(function() error("in co") end) return {select(2, coroutine.resume(co))}
local co = coroutine.create(function() local x = nil return x.y end) return {select(2, coroutine.resume(co))}
local co co = coroutine.create(function() return coroutine.status(co) end) local _, s = coroutine.resume(co) return s .. coroutine.status(co)
local co co = coroutine.create(function() return coroutine.resume(co) end) return {select(2, coroutine.resume(co))}
local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) return coroutine.status(co)
local main = coroutine.running() return tostring(main)
local co = coroutine.create(function() return type(coroutine.running()) end) return select(2, coroutine.resume(co))
coroutine.yield(1)
local co = coroutine.create(function() pcall(function() coroutine.yield(1) end) return 2 end) return {select(2, coroutine.resume(co))}
local co = coroutine.create(function() return pcall(coroutine.yield, 1) end) local _, ok, e = coroutine.resume(co) return tostring(ok) .. tostring(e)
local co = coroutine.create(function() table.sort({3, 2, 1}, function(a, b) coroutine.yield() return a < b end) end) return select(2, coroutine.resume(co))
local t = setmetatable({}, {__index = function() coroutine.yield(1) end}) local co = coroutine.create(function() return t.x end) return select(2, coroutine.resume(co))
local co = coroutine.create(function() for i in function() coroutine.yield(5) end do end end) return select(2, coroutine.resume(co))
coroutine.create(1)
coroutine.create(string.rep)
coroutine.resume(1)
coroutine.status()
coroutine.wrap()
local function gen(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end end) end local s = 0 for v in gen(10) do s = s + v end return s
local co = coroutine.create(function(...) return select("#", ...) end) return select(2, coroutine.resume(co, nil, nil, 3))
local co = coroutine.wrap(function(...) local a = {...} while true do a = {coroutine.yield(#a)} end end) return co(1, 2) .. co() .. co(1, 2, 3)
local t = {} for i = 1, 100 do t[i] = coroutine.create(function() coroutine.yield(i) end) end local s = 0 for i = 1, 100 do local _, v = coroutine.resume(t[i]) s = s + v end return s
