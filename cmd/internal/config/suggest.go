package config

// closest returns the candidate that a misspelt word most likely means, or "".
// Two slips are forgiven, in short words one.
func closest(word string, candidates []string) string {
	best, distance := "", 3
	if len(word) <= 4 {
		distance = 2
	}
	for _, c := range candidates {
		if d := levenshtein(word, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// levenshtein counts the bytes to insert, delete or replace between a and b. Words
// of very different length are given the difference, which is near enough here.
func levenshtein(a, b string) int {
	if d := len(a) - len(b); d > 3 || d < -3 {
		return max(d, -d)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
