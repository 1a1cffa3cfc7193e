-- the errors of the machine name the variable
local a; a.b = 1
local a; return a.b
local a; return a.b.c
local a = {}; return a.b.c
local a = {}; return a.b.c.d
local a = {}; a.b.c = 1
local a = {b = {}}; return a.b.c.d
local a = 5; return a.x
local a = true; return a.x
local a = function() end; return a.x
local t = {}; return t[1].x
local t = {}; local i = 1; return t[i][i]
local t = {}; local i = 1; t[i][i] = 1
return nil .. "x"
return KEYS.x.y
return ARGV[1].x
return (nil).x
return ({}).x.y
local a; a()
local a = {}; a.b()
local a = {}; a:b()
local a = {}; a.b.c()
local a = 5; a()
local a = "x"; a()
return KEYS()
return string.nothing()
return ("x")()
return (function() return nil end)()()
local up; local function f() return up.x end return f()
local up; local function f() return up() end return f()
local up; local function f() return up + 1 end return f()
local a; return a + 1
local a; return 1 + a
local a = {}; return a.b + 1
local a = {}; return a * 2
local a = {}; return 2 - a
local a; return -a
return -{}
return {} + {}
return {} + 1
return 1 + {}
return nil + 1
return 1 + nil
return true * 2
local a = "x"; return a + 1
local a = "x"; return 1 + a
local a = {}; local b = "5"; return a + b
local a = {}; local b = "5"; return b + a
local a; local b = "5"; return b + a
local a = {x = "y"}; return a.x + 1
local a; return #a
local a = {}; return #a.b
return #5
return #nil
local a; return a .. "x"
local a; return "x" .. a
local a = {}; return a.b .. "x"
local a = {}; return "x" .. a.b
local a = {}; return "x" .. a
return "x" .. {}
return "x" .. nil
return "x" .. true
return 1 .. nil
local a, b; return "x" .. "y" .. a .. b
local a, b = "x"; return a .. b .. "z"
return KEYS .. "x"
local function f() end return "x" .. f
local function f() end return "x" .. f()
return ARGV[1] .. "x"
return "key:" .. KEYS[1]
local k = KEYS[1]; return "key:" .. k
return 1 < nil
return nil < 1
return 1 > nil
return nil > 1
return 1 <= nil
return 1 >= nil
return {} < {}
return {} < 1
return nil < nil
return true < false
return "x" < nil
return "x" >= 1
local a, b = 1; return a < b
return (function() end) < (function() end)
for i = nil, 1 do end
for i = 1, nil do end
for i = 1, 2, nil do end
for i = "x", 2 do end
for i = 1, {} do end
for i = 1, 2, "x" do end
local n = 0 for i = "1", "3" do n = n + i end return n
local n = 0 for i = 1, "3", "1" do n = n + i end return n
local n = 0 for i = 10, 1, -3 do n = n + i end return n
local n = 0 for i = 1, 0 do n = n + i end return n
local n = 0 for i = 1, 2, 0.25 do n = n + i end return n .. ""
local t = {} t[1.5] = "a" t[-1] = "b" t[0] = "c" t[2^40] = "d" return t[1.5] .. t[-1] .. t[0] .. t[2^40]
local function f() return 1 + f() end return f()
local function f(n) if n == 0 then return "done" end return f(n - 1) end return f(100000)
local n = 0 local function f() n = n + 1 f() end local ok, e = pcall(f) return (n > 15000 and n < 25000) and e or n
local function f() local ok, e = pcall(f) return e end return f()
local function f() return pcall(f) end return f()
local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end local ok, e = pcall(function() return t.x end) return tostring(ok) .. e:sub(-14)
local t = {} setmetatable(t, {__index = t}) return t.x
return 5 % 3 .. "," .. -5 % 3 .. "," .. 5 % -3 .. "," .. -5 % -3 .. "," .. 5.5 % 2 .. "," .. 5 % 0
return 7 / 2 .. "," .. 1 / 0 .. "," .. 2 ^ 10 .. "," .. 2 ^ 0.5 .. "," .. 10 - 3 * 2
return 2 ^ 3 ^ 2 .. "," .. -2 ^ 2 .. "," .. (2 + 3) * 4
return 1 .. 2 .. 3
return not nil == true
return (1 and 2) .. (nil or 3) .. tostring(false and 1) .. tostring(nil and 1) .. tostring(false or nil)
local a <const> = 1
local t = {1, 2, 3, nil, 5} return #t
local t = {n = 1, 10, 20, [2] = 30, 40} return t[1] .. t[2] .. t[3]
local t = {(function() return 1, 2, 3 end)()} return #t
local t = {(function() return 1, 2, 3 end)(), 10} return #t
local t = {((function() return 1, 2, 3 end)())} return #t
local function f(...) return select("#", ...) end return f(nil, nil) .. f() .. f(1, nil)
local function f(...) local a, b = ... return tostring(a) .. tostring(b) end return f(1) .. f(1, 2, 3)
local function f(...) return arg.n end return f(1, 2, 3)
local function f(...) return #{...} end return f(1, 2, 3)
return ...
return select("#", ...)
local a, b, c = (function() return 1, 2 end)() return tostring(a) .. tostring(b) .. tostring(c)
local a = {} a.x, a.y = 1, 2 return a.x .. a.y
local a, b = 1, 2 a, b = b, a return a .. b
local i = 1 local t = {} i, t[i] = i + 1, 20 return i .. tostring(t[1]) .. tostring(t[2])
local s = 0 local i = 0 while true do i = i + 1 if i > 10 then break end s = s + i end return s
local i = 0 repeat local j = i i = i + 1 until j >= 5 return i
do local x = 1 end return x
local x = 1 do local x = 2 end return x
local fs = {} for i = 1, 3 do fs[i] = function() return i end end return fs[1]() .. fs[2]() .. fs[3]()
local function counter() local n = 0 return function() n = n + 1 return n end end local c, d = counter(), counter() c() c() return c() .. d()
local a = 1 local function f() a = a + 1 return a end f() return f() .. a
local t = {} function t.f(x) return x end function t:g(x) return self == t and x end return t.f(1) .. t:g(2)
local t = {a = {}} function t.a.b(x) return x end return t.a.b("deep")
return [[long
return "\65\066\x41"
return "a\
return "\a\b\f\n\r\t\v\\\"\'" .. #"\0\00\000"
return 0x10 .. "," .. 0xFF .. "," .. 1e2 .. "," .. .5 .. "," .. 3. .. "," .. 5e-1
return 3..2
local goto = 1 return goto
local t = {goto = 1} return t.goto
local continue = 2 return continue
return 1 == 1 == true
return "a" .. "b" == "ab"
return ({1, 2, 3})[2]
return #"abc" == 3
return (("x"):rep(3))
local s = 0 for k, v in pairs({10, 20, x = 30}) do s = s + v end return s
local t = {1, 2, 3} for k in pairs(t) do t[k] = nil end return tostring(next(t))
local t = {a = 1, b = 2, c = 3} for k in pairs(t) do t[k] = nil end return tostring(next(t))
local t = {} for i = 1, 100 do t[i] = i end for i = 1, 100 do t[i] = nil end return #t .. tostring(next(t))
local t = {} for i = 1, 70000 do t[i] = i end return #t .. " " .. table.getn(t) .. " " .. t[70000]
local t = {} for i = 1, 70000 do table.insert(t, i) end table.remove(t, 1) return #t .. " " .. t[69999] .. " " .. table.remove(t)
local t = {} t[1e6] = 1 t[5e6] = 2 local s = 0 for k, v in pairs(t) do s = s + k end return s .. ""
local t = {} for i = 1, 20000 do t[i] = i end return #t .. " " .. table.getn(t) .. " " .. t[20000] .. table.concat(t, "", 16380, 16390)
local t = {} for i = 1, 20000 do t[#t + 1] = i end for i = 1, 5000 do table.remove(t) end table.insert(t, 1, "first") table.sort(t, function(a, b) return tostring(a) < tostring(b) end) return #t .. t[1] .. t[15001] .. t[15000]
local t = {} for i = 1, 17000 do t[i] = i end local s = 0 for i, v in ipairs(t) do s = s + v end for k, v in pairs(t) do s = s + v end return s .. " " .. select("#", unpack(t, 16000, 16999)) .. #cjson.encode(t) .. #cmsgpack.pack(t)
