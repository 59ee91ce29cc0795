package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/outage/cim"
	"github.com/busbar/busbar/cloud/outage/desk"
)

func TestPlannedOutages(t *testing.T) {
	z := newZoned(t)
	now := desk.Now()
	body := func(device string, from, until int64, more string) string {
		return fmt.Sprintf(`{"devices":[%q],"from_us":%d,"until_us":%d,"reason":"works"%s}`, device, from, until, more)
	}
	ask := func(method, path, body string, want int, says string) string {
		t.Helper()
		status, answer := z.ask(z.tokens["operator*"], method, path, body)
		if status != want || !strings.Contains(answer, says) {
			t.Errorf("%s %s: %d %s, want %d %s", method, path, status, answer, want, says)
		}
		return answer
	}
	const path = "/api/v1/planned-outages"
	from, until := int64(now)+3600e6, int64(now)+7200e6
	ask("POST", path, body("own-line", until, from, ""), 422, "until_us isn't after from_us")
	ask("POST", path, body("own-line", 1, 2, ""), 409, "its time is over")
	ask("POST", path, body("nothing", from, until, ""), 404, "no such asset")
	ask("POST", path+"?dry_run=true", body("own-line", from, until, ""), 200, `"customers":3,`)
	var p PlannedDetail
	if err := json.Unmarshal([]byte(ask("POST", path, body("own-line", from, until, ""), 200, `"state":"ahead"`)), &p); err != nil || p.By != "token:operator-all" {
		t.Fatalf("%+v, %v", p, err)
	}
	ask("GET", path+"?device=own-line", "", 200, p.ID)
	ask("PUT", path+"/"+p.ID, body("foreign-line", from, until, `,"revision":9`), 409, "has changed since")
	ask("PUT", path+"/"+p.ID, body("foreign-line", from, until, `,"revision":1,"comment":"more"`), 200, `"customers":8,`)
	ask("GET", path+"/"+p.ID, "", 200, `"detail":"devices foreign-line, were own-line"`)
	document, err := cim.Read([]byte(ask("GET", "/api/v1/cim/outages", "", 200, cim.Version)))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]cim.Outage{}
	for _, of := range document.Outages {
		told[of.ID] = of
	}
	if of := told[p.ID]; !of.Planned || int64(of.ExpectedStart) != from || int64(of.ExpectedEnd) != until || of.Equipment != "foreign-line" || *of.Customers != 8 {
		t.Errorf("%+v", told)
	}
	if of := told["own-outage"]; of.Planned || of.Equipment != "own-line" || of.Status != "confirmed" {
		t.Errorf("%+v", told)
	}
	if next := ask("GET", "/api/v1/cim/outages?limit=1&state=all", "", 200, ""); strings.Contains(next, "own-outage") == strings.Contains(next, "foreign-outage") {
		t.Errorf("a page of one outage: %s", next)
	}
	ask("POST", path+"/"+p.ID+"/cancel", `{"comment":"rain"}`, 200, `"state":"cancelled"`)
	ask("POST", path+"/"+p.ID+"/cancel", `{"comment":"rain"}`, 409, "it is cancelled")
	if answer := ask("GET", path, "", 200, ""); strings.Contains(answer, p.ID) {
		t.Errorf("what is cancelled is open: %s", answer)
	}
	ask("GET", path+"?state=all", "", 200, p.ID)
	ask("GET", path+"/x", "", 404, "no such planned outage")
	status, answer := z.ask(z.tokens["operatorown-zone"], "GET", path+"/"+p.ID, "")
	if status != 404 {
		t.Errorf("of another zone: %d %s", status, answer)
	}
}
