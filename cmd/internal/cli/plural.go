package cli

import "fmt"

// Plural counts things: "1 link", "2 links".
func Plural[N int | int64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
