-- the table library
return table.concat({1, 2, 3}, ",") .. table.concat({}) .. table.concat({"a", 1.5, 1e15}, "-")
return table.concat({1, 2, 3}, ",", 2) .. table.concat({1, 2, 3}, ",", 2, 3) .. table.concat({1, 2, 3}, ",", 3, 2)
return table.concat({1, 2, 3}, ",", 1, 5)
return table.concat({1, {}, 3})
return table.concat({1, true})
return table.concat()
return table.concat({1}, {})
local t = {} table.insert(t, "a") table.insert(t, 1, "b") table.insert(t, 2, "c") return table.concat(t)
local t = {1, 2, 3} table.insert(t, 2, "x") table.insert(t, 5, "y") return table.concat(t, ",")
local t = {} table.insert(t, 5, "x") return tostring(t[5])
table.insert({}, 1, 2, 3)
table.insert({})
table.insert()
table.insert(nil, 1)
table.insert({}, "x", 1)
local t = {1, 2, 3} local r = table.remove(t) local s = table.remove(t, 1) return r .. s .. table.concat(t)
return tostring(table.remove({})) .. select("#", table.remove({}))
local t = {1, 2, 3} return tostring(table.remove(t, 5)) .. tostring(table.remove(t, 0)) .. #t
table.remove()
return table.getn({1, 2, 3}) .. table.maxn({1, 2, [10] = 1, [1.5] = 2}) .. table.maxn({})
table.setn({}, 1)
return table.getn()
local t = {3, 1, 2} table.sort(t) return table.concat(t)
local t = {"b", "a", "C"} table.sort(t) return table.concat(t)
local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return table.concat(t)
local t = {} for i = 1, 200 do t[i] = (i * 7919) % 211 end table.sort(t) for i = 2, 200 do if t[i - 1] > t[i] then return "bad" end end return "sorted"
local t = {} for i = 1, 100 do t[i] = i % 10 end table.sort(t, function(a, b) return a > b end) return table.concat(t)
local t = {3, "x", 1} table.sort(t)
local t = {{}, {}} table.sort(t)
local t = {3, nil, 1} table.sort(t, function(a, b) return true end) return "ok"
local t = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10} table.sort(t, function(a, b) return true end) return "ok"
local t = {5, 3, 1, 4, 2} table.sort(t, function(a, b) error("in sort") end)
local t = {1, 2, true} table.sort(t)
table.sort({1, 2}, 5)
table.sort()
local c = 0 local t = {5, 2, 8, 1, 9, 3, 7} table.sort(t, function(a, b) c = c + 1 return a < b end) return c
local c = {} local t = {5, 2, 8, 1, 9, 3, 7, 6, 4, 0} table.sort(t, function(a, b) c[#c + 1] = a .. "<" .. b return a < b end) return table.concat(c, " ")
local s = "" table.foreach({1, 2}, function(k, v) s = s .. k .. v end) return s
return table.foreach({1, 2}, function(k, v) if k == 2 then return "stop" end end)
local s = "" table.foreachi({5, 6}, function(i, v) s = s .. i .. v end) return s
table.foreach({})
table.foreachi()
