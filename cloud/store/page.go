package store

// Page is a part of a list: at most Limit of the entries behind After, which is the
// place of one of them, whether that is still there or not; nil: from the first on. An
// entry keeps its place, so one that comes or goes meanwhile moves no other to
// another page.
type Page[Place any] struct {
	After *Place
	Limit int
}

// Conditions are those of a query, which all hold.
type Conditions struct {
	text string
	Args []any
}

// And adds one, with a ? for each argument.
func (c *Conditions) And(condition string, args ...any) {
	if c.text == "" {
		c.text = " WHERE "
	} else {
		c.text += " AND "
	}
	c.text += condition
	c.Args = append(c.Args, args...)
}

// Where is the clause; empty if there are none.
func (c *Conditions) Where() string { return c.text }
