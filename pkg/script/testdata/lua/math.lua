-- the math library
return math.floor(3.7) .. math.floor(-3.7) .. math.ceil(3.2) .. math.ceil(-3.2) .. math.abs(-5)
return math.max(1, 5, 3) .. math.min(4, 2, 8) .. math.max("10", 9)
return math.max("x")
return math.fmod(7, 3) .. math.fmod(-7, 3) .. math.mod(7, -3) .. math.fmod(5.5, 2)
return math.sqrt(16) .. math.pow(2, 10) .. math.exp(0) .. math.log(1) .. math.log10(1000)
return math.pi .. "," .. math.huge .. "," .. -math.huge
return string.format("%.10g %.10g %.10g %.10g", math.sin(1), math.cos(1), math.tan(1), math.atan2(1, 2))
return string.format("%.10g %.10g %.10g %.10g %.10g %.10g", math.asin(0.5), math.acos(0.5), math.atan(0.5), math.sinh(1), math.cosh(1), math.tanh(1))
return math.deg(math.pi) .. "," .. math.rad(180)
return table.concat({math.modf(3.7)}, ",") .. " " .. table.concat({math.modf(-3.7)}, ",") .. " " .. table.concat({math.modf(5)}, ",") .. " " .. table.concat({math.modf(math.huge)}, ",") .. " " .. table.concat({math.modf(-0.5)}, ",")
return table.concat({math.frexp(10)}, ",") .. " " .. table.concat({math.frexp(0)}, ",") .. " " .. math.ldexp(0.5, 4)
return math.random() .. ""
return math.random() .. math.random() .. math.random()
return math.random(100) .. "," .. math.random(100) .. "," .. math.random(5, 10)
return math.random(0)
return math.random(5, 1)
return math.random(1, 2, 3)
return math.random(2147483647) .. ""
return math.random(-5, 5) .. "," .. math.random(-2147483648, 2147483647)
math.randomseed(42) return math.random() .. math.random(1000)
math.randomseed(1) local a = math.random() math.randomseed(1) return tostring(a == math.random())
math.randomseed()
math.randomseed(-1) return math.random() .. ""
return math.floor("3.7") .. ""
return math.floor("x")
return math.floor()
return math.floor({})
return math.floor(1e300) .. "," .. math.floor(-0.5)
return math.log(0) .. "," .. math.sqrt(-1) .. "," .. math.log(-1)
