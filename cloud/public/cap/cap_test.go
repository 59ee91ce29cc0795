package cap

import (
	"strings"
	"testing"
	"time"
)

func whole() Alert {
	sent := time.Date(2026, 1, 2, 4, 4, 5, 0, time.FixedZone("CET", 3600))
	return Alert{Identifier: "a-2", Sender: "grid@example.net", Sent: sent, Kind: Update, References: []Reference{{"a-1", "grid@example.net", sent.Add(-time.Hour)}},
		Infos: []Info{{Event: "Power outage", Urgency: "Immediate", Severity: "Minor", Certainty: "Likely", Headline: "a < b & c", Expires: sent.Add(time.Hour),
			Areas: []Area{{Name: "North", Polygon: []Position{{1, 2}, {1, 3}, {2, 3}, {1, 2}}, Geocodes: []Named{{"area", "n"}}}}}}}
}

func TestAnAlertAsItIsWritten(t *testing.T) {
	text, err := whole().XML()
	if err != nil {
		t.Fatal(err)
	}
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
  <identifier>a-2</identifier>
  <sender>grid@example.net</sender>
  <sent>2026-01-02T03:04:05-00:00</sent>
  <status>Actual</status>
  <msgType>Update</msgType>
  <scope>Public</scope>
  <references>grid@example.net,a-1,2026-01-02T02:04:05-00:00</references>
  <info>
    <category>Infra</category>
    <event>Power outage</event>
    <urgency>Immediate</urgency>
    <severity>Minor</severity>
    <certainty>Likely</certainty>
    <expires>2026-01-02T04:04:05-00:00</expires>
    <headline>a &lt; b &amp; c</headline>
    <area>
      <areaDesc>North</areaDesc>
      <polygon>1.00000,2.00000 1.00000,3.00000 2.00000,3.00000 1.00000,2.00000</polygon>
      <geocode>
        <valueName>area</valueName>
        <value>n</value>
      </geocode>
    </area>
  </info>
</alert>
`
	if string(text) != want {
		t.Errorf("%s", text)
	}
}

func TestAnAlertIsChecked(t *testing.T) {
	for want, change := range map[string]func(*Alert){
		`identifier "a 2"`:                 func(a *Alert) { a.Identifier = "a 2" },
		`identifier "a<2"`:                 func(a *Alert) { a.Identifier = "a<2" },
		`identifier "a&2"`:                 func(a *Alert) { a.Identifier = "a&2" },
		`sender "a,b"`:                     func(a *Alert) { a.Sender = "a,b" },
		`sender ""`:                        func(a *Alert) { a.Sender = "" },
		"sent is missing":                  func(a *Alert) { a.Sent = time.Time{} },
		"Update without what it refers to": func(a *Alert) { a.References = nil },
		"a first alert refers to none":     func(a *Alert) { a.Kind = New },
		`message type "Ack"`:               func(a *Alert) { a.Kind = "Ack" },
		"it refers to itself":              func(a *Alert) { a.References[0].Identifier = "a-2" },
		`identifier of a reference "a,1"`:  func(a *Alert) { a.References[0].Identifier = "a,1" },
		"Update without what it says":      func(a *Alert) { a.Infos = nil },
		`urgency "Now"`:                    func(a *Alert) { a.Infos[0].Urgency = "Now" },
		`severity ""`:                      func(a *Alert) { a.Infos[0].Severity = "" },
		`certainty "Sure"`:                 func(a *Alert) { a.Infos[0].Certainty = "Sure" },
		"event is missing":                 func(a *Alert) { a.Infos[0].Event = "" },
		"it expires before its onset":      func(a *Alert) { a.Infos[0].Onset = a.Infos[0].Expires.Add(1) },
		"an area has no name":              func(a *Alert) { a.Infos[0].Areas[0].Name = "" },
		"polygon of North: 3 positions":    func(a *Alert) { a.Infos[0].Areas[0].Polygon = a.Infos[0].Areas[0].Polygon[:3] },
		"polygon of North: 4 positions":    func(a *Alert) { a.Infos[0].Areas[0].Polygon[3].Lat = 1.5 },
		"polygon of North: {95 3} is no":   func(a *Alert) { a.Infos[0].Areas[0].Polygon[1].Lat = 95 },
		`language "" is said twice`:        func(a *Alert) { a.Infos = append(a.Infos, a.Infos[0]) },
	} {
		a := whole()
		change(&a)
		if _, err := a.XML(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	a := whole()
	a.Kind, a.Infos = Cancel, nil
	if err := a.Check(); err != nil {
		t.Error(err)
	}
}
