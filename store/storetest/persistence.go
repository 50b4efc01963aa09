package storetest

// Persistence is what a Redis keeps over its end.
type Persistence string

// The kinds of persistence.
const (
	KeepsNothing   Persistence = "none"
	Snapshots      Persistence = "RDB save points"
	AOFEverySecond Persistence = "AOF everysec"
	AOFAlways      Persistence = "AOF always"
)

// Persistences returns all kinds.
func Persistences() []Persistence {
	return []Persistence{KeepsNothing, Snapshots, AOFEverySecond, AOFAlways}
}

// Args returns the options of redis-server for it. A snapshot is written after one
// second with one change.
func (p Persistence) Args() []string {
	switch p {
	case Snapshots:
		return []string{"--save", "1 1"}
	case AOFEverySecond:
		return []string{"--appendonly", "yes", "--appendfsync", "everysec"}
	case AOFAlways:
		return []string{"--appendonly", "yes", "--appendfsync", "always"}
	}
	return nil // what StartRedis does
}
