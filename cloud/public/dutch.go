package public

var dutch = words{
	Tag: "nl", Name: "Nederlands",
	Stamp: "02-01-2006, 15:04 MST", Group: ".", And: " en ",

	Title: "Elektriciteitsvoorziening", Languages: "Taal", Alerts: "Meldingen",
	AsOf: "Stand van {time}.", IsOld: "Dit is niet actueel.", KnownThen: "Wat volgt was toen bekend; wat er sindsdien is gebeurd niet.",
	OldAfter: plural{"Is dat meer dan {n} minuut geleden, dan is wat volgt niet actueel.", "Is dat meer dan {n} minuten geleden, dan is wat volgt niet actueel."},
	Out:      "Zonder stroom", NoOutage: "Er is geen storing bekend.",
	NoOutageButUnknown: "Er is geen storing bekend, maar niet overal is het bekend: zie de lijst van gebieden.",
	Planned:            "Gepland werk", Areas: "Alle gebieden", Area: "Gebied", State: "Toestand",
	Outage: "Storing", Work: "Werk", Since: "Sinds", From: "Vanaf", Until: "Tot",
	Back: "Verwachte hersteltijd", BackBy: "uiterlijk {time}", BackUnknown: "wordt nagegaan", Crew: "Monteurs", Cause: "Oorzaak", CauseUnsaid: "nog niet bekend",
	Confirmed: "vastgesteld", Unconfirmed: "nog niet vastgesteld", Elsewhere: "Elders",
	Footnote: "Aantallen onder {n} worden niet getoond. „Niet bekend” is geen storing, en ook niet het ontbreken ervan.",
	Others:   `Hetzelfde als <a href="outages.json">JSON</a>, meldingen als <a href="feed.atom">Atom-feed</a> volgens CAP 1.2.`,

	States:  map[State]string{Out: "Storing", Planned: "Gepland werk", None: "Geen storing bekend", Unknown: "Niet bekend"},
	Unsure:  "{state}, meer is niet bekend",
	Crews:   map[Crew]string{NoCrew: "nog geen", Assigned: "toegewezen", EnRoute: "onderweg", OnSite: "ter plaatse"},
	Causes:  map[Cause]string{Weather: "Weer", Tree: "Boom of tak", Animal: "Dier", ByOthers: "Schade door derden", Equipment: "Component defect", Work: "Gepland werk", Upstream: "Voeding uit een ander net"},
	Counted: "{n} klanten", Fewer: "minder dan {n} klanten", FewerEach: "minder dan {n} klanten op elk van {places} plaatsen",
	Uncounted: "aantal klanten niet bekend", AlsoUncounted: "een aantal klanten dat niet bekend is", Also: ", en ",

	Ago: "Dat is {ago}.", AgoOld: "Dat is {ago}: dit is niet actueel. Wat er sindsdien is gebeurd, is hier niet bekend.", JustNow: "minder dan een minuut geleden",
	Newer: "Er is nieuwere informatie.", Show: "Tonen",

	Event: "Stroomstoring", EventPlanned: "Geplande stroomonderbreking",
	Headline: "Stroomstoring in {where}", HeadlinePlanned: "Geplande stroomonderbreking in {where}", HeadlineSuspected: "Mogelijk stroomstoring in {where}",
	TellConfirmed: "Ongeveer {n} klanten zitten sinds {since} zonder stroom.",
	TellSuspected: "Ongeveer {n} klanten zitten vermoedelijk sinds {since} zonder stroom. Dit is nog niet vastgesteld.",
	TellPlanned:   "Voor werkzaamheden zitten ongeveer {n} klanten vanaf {since} zonder stroom.", TellPlannedEnd: "Volgens planning is de stroom om {time} terug.",
	TellBack: "Naar verwachting is de stroom uiterlijk {time} terug.", TellBackUnknown: "Er wordt nagegaan wanneer de stroom terug is.", TellCause: "Oorzaak: {cause}.",
	HeadlineOver: "Voorbij: {headline}", NoteOver: "De storing is voorbij, of minder dan {n} klanten zitten zonder stroom.",
}
