==== limiter
local key = "k"
local now = tonumber("1700000000")
local window, limit = 60, 10
local bucket = math.floor(now / window)
return key .. ":" .. bucket .. ":" .. (limit - 1)
==== a line of its own for the error
local a = 1

local b = nil
return a + b
==== line of a call that spans lines
local t = {}
return t.x(
  1,
  2
)
==== long strings and comments
--[[ a
long comment ]]
--[==[ another ]] ]==]
local s = [[
first
second]] .. [==[]]]==] --[[ in between ]] .. "x"
return s
==== shebang-less hash
# not a comment in EVAL
return 1
==== nested functions and upvalues
local function outer()
  local x = 0
  local function inc() x = x + 1; return x end
  local function get() return x end
  return inc, get
end
local inc, get = outer()
inc(); inc()
return get()
==== upvalues closed by break
local fs = {}
for i = 1, 5 do
  local j = i * 10
  fs[#fs + 1] = function() j = j + 1 return j end
  if i == 3 then break end
end
return fs[1]() .. fs[1]() .. fs[2]() .. fs[3]()
==== closures in while
local fs, i = {}, 0
while i < 3 do
  local k = i
  fs[#fs + 1] = function() return k end
  i = i + 1
end
return fs[1]() .. fs[2]() .. fs[3]()
==== recursion through locals
local function fact(n) if n <= 1 then return 1 end return n * fact(n - 1) end
return fact(20) .. ""
==== error in nested call keeps its line
local function f(x)
  return x.y.z
end
local function g(x)
  local r = f(x)
  return r
end
return g({})
==== error with level 2 names the caller
local function check(x)
  if type(x) ~= "number" then
    error("number expected", 2)
  end
end
local function use()
  check("x")
end
use()
==== pcall returns the position
local ok, e = pcall(function()
  local t = nil
  t.x = 1
end)
return e
==== multiple assignment order
local t = {}
local function f(n) t[#t + 1] = n return n end
local a = {}
a[f(1)], a[f(2)] = f(3), f(4)
return table.concat(t, ",")
==== varargs in the middle
local function f(...) return ... end
local t = {f(1, 2), f(1, 2), f()}
return #t
==== semicolons;
local a = 1; local b = 2;
return a + b;
==== comment at the end
return 1 -- done
==== windows line ends
return "a"
==== tab and vertical blanks
return	1
==== goto is a name
local function goto_(x) return x end
return goto_(3)
==== unfinished string
return "abc
==== unfinished long string
return [[abc
==== unexpected symbol
return )
==== missing end
if true then
  return 1
==== missing end names the line
local function f()
  if x then
end
return 1
==== missing then
if true return 1 end
==== missing do
for i = 1, 2 print(i) end
==== bad for
for i do end
==== bad assignment
1 = 2
==== bad call statement
x
==== assignment to call
f() = 1
==== ambiguous call
local f = string.rep
f
("x", 2)
==== break outside a loop
break
==== vararg outside a vararg function
local function f() return ... end
==== malformed number
return 3x
==== malformed number 2
return 0xg
==== malformed number 3
return 1..2
==== bad escape
return "\400"
==== bad escape 2
return "\z"
==== invalid character
return $x
==== lone tilde
return 1 ~ 2
==== not equal
return 1 ~= 2
==== local function without a name
local function () end
==== unclosed parenthesis
return (1
==== unclosed table
return {1, 2
==== name expected
local 1 = 2
==== attribute is not Lua 5.1
local x <const> = 1
==== keyword as a field
local t = {} t.end = 1
==== two returns
return 1 return 2
==== nothing
==== only a comment
-- nothing
==== method call on a number
return (5):x()
==== chained comparison
return 1 < 2 < 3
==== many locals
local a1,a2,a3,a4,a5,a6,a7,a8,a9,a10,a11,a12,a13,a14,a15,a16,a17,a18,a19,a20,a21,a22,a23,a24,a25,a26,a27,a28,a29,a30,a31,a32,a33,a34,a35,a36,a37,a38,a39,a40,a41,a42,a43,a44,a45,a46,a47,a48,a49,a50 = 1
return a1
==== concatenation of many
local t = {}
for i = 1, 300 do t[i] = i end
return #table.concat(t, ",") .. "|" .. t[1] .. t[2] .. t[3] .. 4 .. 5.5 .. "x"
==== deep nesting of tables
local t = {}
local u = t
for i = 1, 50 do u.x = {} u = u.x end
u.y = "deep"
local v = t
while v.x do v = v.x end
return v.y
==== numeric for with float accumulation
local t = {}
for x = 0, 1, 0.1 do t[#t + 1] = x end
return #t .. " " .. t[#t]
==== for variable is a copy
local s = ""
for i = 1, 3 do s = s .. i i = 10 end
return s
==== method definition with self
local Account = {balance = 0}
Account.__index = Account
function Account.new(b) return setmetatable({balance = b}, Account) end
function Account:deposit(v) self.balance = self.balance + v return self end
return Account.new(10):deposit(5):deposit(7).balance
==== inheritance
local A = {} A.__index = A
function A.hi() return "A" end
local B = setmetatable({}, {__index = A}) B.__index = B
return setmetatable({}, B).hi()
==== string keys that look like numbers
local t = {}
t["1"] = "s" t[1] = "n"
return t["1"] .. t[1] .. #t
==== the error handler
return type(__redis__err__handler("x"))
==== the error handler says where
local t = __redis__err__handler("x")
return t.err .. t.source .. t.line
==== numbers as keys
local t = {}
t[1e3] = "a" t[-0] = "z"
return t[1000] .. t[0]
==== a call as the last keyed field
local function f() return 1, 2, 3 end
local t = {5, x = f()}
return #t .. t.x .. #{5, x = f(), 6} .. #{x = f(), f()}
==== parameters that are set to something of themselves
local function f(x) x = x and tostring(x) return x end
local function g(x) x = (tostring(x)) return x end
local function h(a, x) local y = 7 x = x or math.max(1, 2, a) return y .. x end
local function i(x) x = {x, x} return x[1] .. x[2] end
local function j(x) x = "T" .. x .. #x return x end
return f(1) .. g(2) .. h(3) .. i(4) .. j("five")
==== (...) in an assignment
local function f(...) local b, c, d = 1, 2, 3 b = (...) return b .. c .. d end
return f(7, 8)
==== a local variable is not the function that it gets
local f = 1
local f = function() return f end
return f()
==== lists of fifty and more
local t = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,[tostring("k")] = tostring("v"), 51}
return #t .. t[1] .. t[50] .. t[51] .. t.k
==== arg
local function f(...) return arg.n .. arg[1] end
local function g(...) local n = select("#", ...) return n .. tostring(pcall(function() return arg end)) end
return f(1, 2) .. g(3)
==== arg in the main chunk
return arg
==== variables stay shared with closures after an error was caught
local n = 0
local function inc() n = n + 1 return n end
inc() pcall(error, "x") inc()
pcall(function() n = n + 10 local x = nil x.y = 1 end)
xpcall(function() n = n + 100 error("x") end, function(e) inc() end)
inc()
local ok, e = pcall(function() local m = n local function f() m = m + 1 return m end pcall(error) f() return f() + m end)
return n .. " " .. e
==== a closure that outlives the error
local f
pcall(function() local x = 5 f = function() x = x + 1 return x end error("e") end)
return f() + f()
==== coroutines inside pcall and pcall inside coroutines
local co = coroutine.wrap(function(a) local ok, e = pcall(function() return coroutine.status(coroutine.create(function() end)) .. type(coroutine.running()) end) coroutine.yield(e) return 2 end)
local ok, v = pcall(function() return co() .. co() end)
return tostring(ok) .. v .. tostring(pcall(coroutine.running))
==== resuming through pcall
local co = coroutine.create(function() for i = 1, 3 do coroutine.yield(i) end error("end") end)
local t = {}
for i = 1, 5 do local a, b, c = pcall(coroutine.resume, co) t[i] = tostring(a) .. tostring(b) .. tostring(c) end
return table.concat(t, " ")
==== the handler is told where
local ok, e = xpcall(function()
  local x = nil
  return x.y
end, __redis__err__handler)
return e.err .. "|" .. e.source .. "|" .. e.line
==== nested pcalls
local function f(n) if n == 0 then error("deep") end local ok, e = pcall(f, n - 1) error(e .. n, 0) end
return select(2, pcall(f, 5))
