package public

var german = words{
	Tag: "de", Name: "Deutsch",
	Stamp: "02.01.2006, 15:04 MST", Group: ".", And: " und ",

	Title: "Stromversorgung", Languages: "Sprache", Alerts: "Warnmeldungen",
	AsOf: "Stand {time}.", IsOld: "Diese Angaben sind nicht aktuell.", KnownThen: "Das Folgende war damals bekannt; was seither geschehen ist, nicht.",
	OldAfter: plural{"Ist das mehr als {n} Minute her, ist das Folgende nicht aktuell.", "Ist das mehr als {n} Minuten her, ist das Folgende nicht aktuell."},
	Out:      "Ohne Strom", NoOutage: "Es ist keine Versorgungsunterbrechung bekannt.",
	NoOutageButUnknown: "Es ist keine Versorgungsunterbrechung bekannt, aber nicht überall ist es bekannt: siehe die Liste der Gebiete.",
	Planned:            "Geplante Arbeiten", Areas: "Alle Gebiete", Area: "Gebiet", State: "Zustand",
	Outage: "Störung", Work: "Arbeiten", Since: "Seit", From: "Ab", Until: "Bis",
	Back: "Voraussichtliche Wieder\u00adversorgung", BackBy: "bis {time}", BackUnknown: "wird ermittelt", Crew: "Einsatztrupp", Cause: "Ursache", CauseUnsaid: "noch nicht bekannt",
	Confirmed: "bestätigt", Unconfirmed: "noch nicht bestätigt", Elsewhere: "Anderswo",
	Footnote: "Zahlen unter {n} werden nicht gezeigt. „Nicht bekannt“ heißt weder, dass der Strom ausgefallen ist, noch dass er da ist.",
	Others:   `Dasselbe als <a href="outages.json">JSON</a>, Warnmeldungen als <a href="feed.atom">Atom-Feed</a> nach CAP 1.2.`,

	States:  map[State]string{Out: "Versorgungsunterbrechung", Planned: "Geplante Arbeiten", None: "Keine Unterbrechung bekannt", Unknown: "Nicht bekannt"},
	Unsure:  "{state}, mehr ist nicht bekannt",
	Crews:   map[Crew]string{NoCrew: "noch keiner", Assigned: "beauftragt", EnRoute: "auf Anfahrt", OnSite: "vor Ort"},
	Causes:  map[Cause]string{Weather: "Wetter", Tree: "Baum oder Ast", Animal: "Tier", ByOthers: "Beschädigung durch Dritte", Equipment: "Betriebsmittel ausgefallen", Work: "Geplante Arbeiten", Upstream: "Versorgung aus einem anderen Netz"},
	Counted: "{n} Anschlussnutzer", Fewer: "weniger als {n} Anschlussnutzer", FewerEach: "an {places} Stellen jeweils weniger als {n} Anschlussnutzer",
	Uncounted: "Zahl der Anschlussnutzer nicht bekannt", AlsoUncounted: "eine nicht bekannte Zahl von Anschlussnutzern", Also: ", und ",

	Ago: "Das war {ago}.", AgoOld: "Das war {ago}: diese Angaben sind nicht aktuell. Was seither geschehen ist, ist hier nicht bekannt.", JustNow: "vor weniger als einer Minute",
	Newer: "Es gibt neuere Angaben.", Show: "Anzeigen",

	Event: "Stromausfall", EventPlanned: "Geplante Versorgungsunterbrechung",
	Headline: "Stromausfall in {where}", HeadlinePlanned: "Geplante Versorgungsunterbrechung in {where}", HeadlineSuspected: "Vermutlich Stromausfall in {where}",
	TellConfirmed: "Etwa {n} Anschlussnutzer sind seit {since} ohne Strom.",
	TellSuspected: "Etwa {n} Anschlussnutzer sind vermutlich seit {since} ohne Strom. Das ist noch nicht bestätigt.",
	TellPlanned:   "Wegen Arbeiten ist für etwa {n} Anschlussnutzer ab {since} der Strom abgeschaltet.", TellPlannedEnd: "Die Wiederversorgung ist für {time} geplant.",
	TellBack: "Voraussichtliche Wiederversorgung bis {time}.", TellBackUnknown: "Wann die Versorgung wiederhergestellt ist, wird ermittelt.", TellCause: "Ursache: {cause}.",
	HeadlineOver: "Beendet: {headline}", NoteOver: "Die Versorgungsunterbrechung ist beendet, oder weniger als {n} Anschlussnutzer sind ohne Strom.",
}
