package telemetry

import "math"

// maxExponent is the most decimal places of a column. Powers of ten up to it
// are exact in binary64.
const maxExponent = 15

var pow10 = [maxExponent + 1]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// precision is how the decimals of a column had been rounded before they became
// float64: not at all, or to the binary32 of a meter's register.
type precision struct {
	single bool
	limit  float64 // beyond it there are no decimals worth the name
	// Below sure, rounding v·10^k finds the integer whose quotient v is.
	sure float64
}

var (
	binary64 = precision{false, 1 << 53, 1 << 51}
	binary32 = precision{true, 1 << 23, 1 << 23}
)

// decimalBits is the value n/p, p being a power of ten.
func (r precision) decimalBits(n int64, p float64) uint64 {
	v := float64(n) / p
	if r.single {
		v = float64(float32(v))
	}
	return math.Float64bits(v)
}

// integer is the n of which decimalBits makes bits again.
func (r precision) integer(bits uint64, p, limit float64) (n int64, ok bool) {
	scaled := math.RoundToEven(math.Float64frombits(bits) * p)
	if !(math.Abs(scaled) < limit) {
		return 0, false
	}
	n = int64(scaled)
	return n, r.decimalBits(n, p) == bits
}

// exponent is the least number of decimal places that the value needs.
func (r precision) exponent(bits uint64) (k uint8, ok bool) {
	// More places than needed do no harm while the integer is exact, so one test
	// with the most places decides.
	v := math.Abs(math.Float64frombits(bits))
	for k = maxExponent; k > 0 && !(v*pow10[k] < r.sure); k-- {
	}
	n, ok := r.integer(bits, pow10[k], r.limit)
	for ; ok && k > 0 && n%10 == 0; k-- {
		n /= 10
	}
	return k, ok
}

// integers puts into out the integers n for which n/10^k is bit for bit each of
// the floats, and returns k. hint is a k that is likely to do.
func (r precision) integers(out, floats []uint64, hint uint8) (k uint8, ok bool) {
	k = hint
	for i := 0; i < len(floats); i++ {
		n, ok := r.integer(floats[i], pow10[k], r.limit)
		if !ok {
			least, ok := r.exponent(floats[i])
			if !ok || least <= k && k != hint {
				return 0, false
			}
			// From here on k only grows.
			k, hint, i = least, maxExponent+1, -1
			continue
		}
		out[i] = uint64(n)
	}
	if k == hint && len(floats) > worthStripping {
		for ; k > 0 && allTens(out); k-- {
			for i, n := range out {
				out[i] = uint64(int64(n) / 10)
			}
		}
	}
	return k, true
}

// worthStripping is the number of values from which on a digit less a value
// saves more than writing another exponent than the reference's costs.
const worthStripping = 5

func allTens(x []uint64) bool {
	for _, n := range x {
		if int64(n)%10 != 0 {
			return false
		}
	}
	return true
}
