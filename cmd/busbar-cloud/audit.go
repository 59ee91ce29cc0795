package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
)

type auditCommand struct {
	List   listAudit   `cmd:"" help:"List who did what lately."`
	Verify verifyAudit `cmd:"" help:"Check that no row of the audit was changed, removed or put in between."`
}

type listAudit struct {
	database
	Limit int `help:"How many rows are listed, newest first." default:"50"`
}

func (listAudit) Help() string {
	return `Example:
  busbar-cloud audit list --config cloud.yaml --limit 200`
}

func (l listAudit) Run(ctx context.Context) error {
	if l.Limit < 1 || l.Limit > 100_000 {
		return program.Usage{Err: fmt.Errorf("--limit %d is out of range, expected 1 to 100000", l.Limit)}
	}
	return l.use(ctx, func(s *store.Store) error {
		rows, err := s.AuditRows(ctx, store.Page[int64]{Limit: l.Limit})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ROW\tAT\tBY\tVIA\tACTION\tSUBJECT\tDETAIL")
		for _, r := range rows {
			fmt.Fprintf(w, "%d\t%s", r.Seq, r.At.Time().Format("2006-01-02T15:04:05Z"))
			for _, text := range []string{r.By, r.Via, r.Action, r.Subject, r.Detail} {
				fmt.Fprint(w, "\t", shown(text))
			}
			fmt.Fprintln(w)
		}
		return w.Flush()
	})
}

type verifyAudit struct {
	database
	Head string `help:"A head of the audit as it was seen before: in the log of the cloud, or printed by this command." placeholder:"ROW:HASH"`
}

func (verifyAudit) Help() string {
	return `Each row has a hash over itself and the hash of the row before it. Whoever can write to the database can make all rows anew from
some point on, or remove the last ones: give the newest head that you find elsewhere with --head, and that shows as well. The
cloud logs its head within a minute of each change.

Example:
  busbar-cloud audit verify --config cloud.yaml --head 812:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`
}

func (v verifyAudit) Run(ctx context.Context) error {
	var known store.AuditHead
	if v.Head != "" {
		var err error
		if known, err = store.ParseAuditHead(v.Head); err != nil {
			return program.Usage{Err: err}
		}
	}
	return v.use(ctx, func(s *store.Store) error {
		head, err := s.VerifyAudit(ctx, known)
		if err != nil {
			return err
		}
		if head.Seq == 0 {
			fmt.Println("the audit is empty")
			return nil
		}
		fmt.Printf("%d rows, all as they were written; the head is %s\n", head.Seq, head)
		return nil
	})
}
