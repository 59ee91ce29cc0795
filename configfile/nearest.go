package configfile

// Nearest is the candidate that word most likely means: the one with the fewest
// single-character edits or swaps of neighbours, the first of equals. It is ""
// when more than a third of the word, and more than one character, would change.
func Nearest(word string, candidates []string) string {
	limit := max(1, (len([]rune(word))+1)/3)
	best, distance := "", limit+1
	for _, c := range candidates {
		if d := editDistance(word, c, limit); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// editDistance is the optimal string alignment distance; any distance beyond
// limit may come out as limit+1.
func editDistance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if len(x)-len(y) > limit || len(y)-len(x) > limit {
		return limit + 1
	}
	before, above, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(y)]
}
