-- the base library, globals, errors and their places
return tostring(1e15) .. " " .. tostring(1e14) .. " " .. tostring(123456789012345) .. " " .. tostring(0.1) .. " " .. tostring(1/3)
return tostring(1e100) .. " " .. tostring(-1e-7) .. " " .. tostring(2^53) .. " " .. tostring(2^63) .. " " .. tostring(-0)
return tostring(1/0) .. tostring(-1/0) .. tostring(0/0) .. tostring(-(0/0))
return 3.0 .. "" .. 1e300 .. "" .. 12345678901234567890
return 100000000000000 .. " " .. 99999999999999 .. " " .. 1e14 + 0.5 .. " " .. 0.1 + 0.2
return 1700000000000 .. "|" .. 1700000000000000 .. "|" .. 1.5 .. "|" .. -1.25e-10
return tostring(nil) .. tostring(true) .. tostring("x")
return tostring()
return tostring(cjson.null)
return type(nil) .. type(1) .. type("x") .. type({}) .. type(print == nil) .. type(type) .. type(cjson.null) .. type(coroutine.create(function() end))
return type()
return tostring(tonumber("10")) .. tostring(tonumber("0x1F")) .. tostring(tonumber("  12  ")) .. tostring(tonumber("1e3")) .. tostring(tonumber("")) .. tostring(tonumber("x")) .. tostring(tonumber("1 2"))
return tostring(tonumber("10", 2)) .. tostring(tonumber("ff", 16)) .. tostring(tonumber("zz", 36)) .. tostring(tonumber("8", 8)) .. tostring(tonumber("0xff", 16)) .. tostring(tonumber("-7", 8))
return tostring(tonumber("010")) .. tostring(tonumber("1.")) .. tostring(tonumber(".5")) .. tostring(tonumber("5e+2")) .. tostring(tonumber("0x")) .. tostring(tonumber("1e"))
return tostring(tonumber("inf")) .. tostring(tonumber("nan")) .. tostring(tonumber("0x1p4")) .. tostring(tonumber("1_000")) .. tostring(tonumber("0b1"))
return tostring(tonumber(nil)) .. tostring(tonumber(true)) .. tostring(tonumber({}))
return tonumber()
return tonumber("10", 99)
return tonumber("10", 1)
return tonumber({}, 16)
return tonumber("99999999999999999999", 10) .. "," .. tonumber("ffffffffffffffff", 16)
return select("#") .. select("#", nil, nil) .. select(2, "a", "b", "c") .. select(-1, "a", "b", "c")
return select(0)
return select(-5, 1)
return select("x")
return select()
return {select(2, "a", "b", "c")}
return {unpack({1, 2, 3})}
return {unpack({1, 2, 3}, 2)}
return {unpack({1, 2, 3}, 2, 3)}
return #{unpack({}, 1, 5)} .. select("#", unpack({}, 1, 5))
return unpack()
return unpack({}, 1, 1e8)
local t = {} for i = 1, 7998 do t[i] = i end return select("#", unpack(t)) .. ""
local t = {} for i = 1, 8000 do t[i] = i end return select("#", unpack(t)) .. ""
return assert(false)
return assert(nil, "msg")
return assert(1 == 1, "msg")
return assert(false, {})
return assert()
return error("abc")
return error("abc", 0)
return error("abc", 2)
local function f() error("abc", 2) end f()
local function f() error("abc", 3) end local function g() f() end g()
return error()
return error(nil)
return error({err = "My Error"})
return error({err = "MYERR my error"})
return error(12)
return {pcall(error)}
return {pcall(error, "x")}
return {pcall(error, "x", 0)}
return {pcall(function() error("x") end)}
return {pcall(function() error({err = "z"}) end)}
return {pcall(function() local x = nil; return x.y end)}
return {pcall(function(a, b) return a, b end, 1, 2)}
return {pcall(nil)}
return {pcall(5)}
return pcall()
return {pcall(pcall, error, "e")}
return {xpcall(function() error("x") end, function(e) return "handled: " .. e end)}
return {xpcall(function() return 1, 2 end, function(e) return e end)}
return {xpcall(function() local a = nil; a() end, function(e) return e end)}
return xpcall()
return xpcall(print)
return {xpcall(function() error("x") end, function(e) error("again") end)}
x = 1
return x
function f() end
local t = _G t.x = 1
_G.x = 1
return _G.x
rawset(_G, "x", 1)
return tostring(rawget(_G, "x"))
setmetatable(_G, {})
setmetatable(_G, nil)
return type(getmetatable(_G)) .. type(getmetatable(_G).__index)
getmetatable(_G).__index = nil
getmetatable(_G).x = 1
string.x = 1
string.len = 1
rawset(string, "x", 1)
setmetatable(string, {})
table.insert(string, 1)
table.remove(math, 1)
table.sort(string)
getmetatable("").__index = nil
getmetatable("").x = 1
return type(getmetatable("")) .. tostring(getmetatable("").__index == string)
return tostring(getmetatable(1)) .. tostring(getmetatable(nil)) .. tostring(getmetatable({})) .. tostring(getmetatable(string))
return getmetatable()
cjson.encode = nil
redis = nil
KEYS[1] = "x" return KEYS[1]
return tostring(string.nothing) .. tostring(math.nothing)
local n = 0 for k in pairs(string) do n = n + 1 end return n
local n = 0 for k in pairs(math) do n = n + 1 end return n
local t = {} for k in pairs(_G) do if k ~= "redis" then t[#t + 1] = k end end table.sort(t) return table.concat(t, " ")
local t = {} for k in pairs(cjson) do t[#t + 1] = k end table.sort(t) return table.concat(t, " ")
local t = {} for k in pairs(cmsgpack) do t[#t + 1] = k end table.sort(t) return table.concat(t, " ")
local t = {} for k in pairs(table) do t[#t + 1] = k end table.sort(t) return table.concat(t, " ")
local t = {} for k in pairs(string) do t[#t + 1] = k end table.sort(t) return table.concat(t, " ")
local t = {} for k in pairs(math) do t[#t + 1] = k end table.sort(t) return table.concat(t, " ")
local t = {} for k in pairs(bit) do t[#t + 1] = k end table.sort(t) return table.concat(t, " ")
local t = {} for k in pairs(struct) do t[#t + 1] = k end table.sort(t) return table.concat(t, " ")
local t = {} for k in pairs(coroutine) do t[#t + 1] = k end table.sort(t) return table.concat(t, " ")
return tostring(next(string) ~= nil) .. type(rawget(string, "len"))
return print
return os
return io
return dofile
return loadfile
return require
return module
return getfenv
return setfenv
return newproxy
return debug
return package
return _VERSION
return tostring(rawequal("a", "a")) .. tostring(rawequal({}, {})) .. tostring(rawequal(1, "1"))
return rawequal(1)
return rawget({}, nil) == nil
return rawget(1, 1)
return rawget({})
local t = rawset({}, "a", 1) return t.a
rawset({}, nil, 1)
rawset({}, 0/0, 1)
rawset({}, 1)
local t = {} t[nil] = 1
local t = {} t[0/0] = 1
return tostring(({})[nil])
return tostring(next({})) .. tostring(next({5}))

return next()
return next(1)
return pairs()
return ipairs()
return ipairs(nil)
for i, v in ipairs({1, 2, nil, 4}) do if i > 2 then return "no" end end return "ok"
for k, v in nil do end
for k, v in {} do end
return loadstring("return 1 + 1")()
return {loadstring("x =")}
return {loadstring("return 1", "=name")}
return {loadstring("error('e')", "=name")}
return {pcall(loadstring("error('e')", "=name"))}
return {pcall(loadstring("error('e')", "@name"))}
return {pcall(loadstring("error('e')"))}
return {pcall(loadstring("\n\nerror('e')"))}
return {pcall(loadstring("error('e') -- a long line that does not fit into the sixty bytes that are there for it"))}
return loadstring("x = 1")()
return loadstring()
return {load(function() return nil end)}
local n = 0 return load(function() n = n + 1 return ({"return ", "7"})[n] end)()
return {load(function() return {} end)}
return load("return 1")
return {pcall(load(coroutine.wrap(function() coroutine.yield("error('x')") end)))}
return type(collectgarbage("count")) .. collectgarbage() .. tostring(collectgarbage("step"))
return collectgarbage("x")
return type(gcinfo())
local t = setmetatable({}, {__index = function(t, k) return k .. "!" end}) return t.abc
local t = setmetatable({}, {__index = {a = 1}}) return t.a
local t = setmetatable({}, {__newindex = function(t, k, v) rawset(t, k, v * 2) end}) t.a = 2 return t.a
local t = setmetatable({}, {__call = function(self, a) return a end}) return t(5)
local t = setmetatable({}, {__tostring = function() return "T" end}) return tostring(t)
local t = setmetatable({}, {__add = function(a, b) return 7 end}) return t + 1 .. "" .. 1 + t .. "" .. "x" + t
local t = setmetatable({}, {__concat = function(a, b) return "C" end}) return t .. "x" .. "y"
local t = setmetatable({}, {__concat = function(a, b) return "C" end}) return 1 .. t
local t = setmetatable({}, {__eq = function() return true end}) local u = setmetatable({}, getmetatable(t)) return tostring(t == u)
local t = setmetatable({}, {__lt = function() return true end, __le = function() return false end}) return tostring(t < t) .. tostring(t <= t)
local t = setmetatable({}, {__lt = function() return true end}) return tostring(t <= t)
local t = setmetatable({}, {__unm = function() return "neg" end}) return -t
local t = setmetatable({}, {__len = function() return 5 end}) return #t
local t = setmetatable({}, {__metatable = "locked"}) return getmetatable(t)
local t = setmetatable({}, {__metatable = "locked"}) setmetatable(t, {})
setmetatable({})
setmetatable({}, 1)
setmetatable(1, {})
local t = setmetatable({}, {}) getmetatable(t).__index = t return tostring(t.x)
return math.max() 
return {1 == 1.0, "1" == 1}
