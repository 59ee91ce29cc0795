package public

var english = words{
	Tag: "en", Name: "English",
	Stamp: "2 Jan 2006, 15:04 MST", Group: ",", And: " and ",

	Title: "Electricity supply", Languages: "Language", Alerts: "Alerts",
	AsOf: "As of {time}.", IsOld: "This isn’t current.", KnownThen: "What follows was known then; what has happened since isn’t.",
	OldAfter: plural{"If that is more than {n} minute ago, what follows isn’t current.", "If that is more than {n} minutes ago, what follows isn’t current."},
	Out:      "Without electricity", NoOutage: "No outage is known.", NoOutageButUnknown: "No outage is known, but it isn’t known everywhere: see the list of areas.",
	Planned: "Planned work", Areas: "All areas", Area: "Area", State: "State",
	Outage: "Outage", Work: "Work", Since: "Since", From: "From", Until: "Until",
	Back: "Expected back", BackBy: "by {time}", BackUnknown: "being assessed", Crew: "Crew", Cause: "Cause", CauseUnsaid: "not known yet",
	Confirmed: "confirmed", Unconfirmed: "not confirmed yet", Elsewhere: "Elsewhere",
	Footnote: "Counts below {n} aren’t shown. “Not known” is neither an outage nor the absence of one.",
	Others:   `The same as <a href="outages.json">JSON</a>, alerts as an <a href="feed.atom">Atom feed</a> of CAP 1.2.`,

	States:  map[State]string{Out: "Outage", Planned: "Planned work", None: "No outage known", Unknown: "Not known"},
	Unsure:  "{state}, and more isn’t known",
	Crews:   map[Crew]string{NoCrew: "none yet", Assigned: "assigned", EnRoute: "on its way", OnSite: "on site"},
	Causes:  map[Cause]string{Weather: "Weather", Tree: "Tree or branch", Animal: "Animal", ByOthers: "Damage by others", Equipment: "Equipment failed", Work: "Planned work", Upstream: "Supply from another network"},
	Counted: "{n} customers", Fewer: "fewer than {n} customers", FewerEach: "fewer than {n} customers in each of {places} places",
	Uncounted: "number of customers not known", AlsoUncounted: "a number of customers that isn’t known", Also: ", and ",

	Ago: "That is {ago}.", AgoOld: "That is {ago}: this isn’t current. What has happened since isn’t known here.", JustNow: "less than a minute ago",
	Newer: "There is newer information.", Show: "Show it",

	Event: "Power outage", EventPlanned: "Planned power outage",
	Headline: "Power outage in {where}", HeadlinePlanned: "Planned power outage in {where}", HeadlineSuspected: "Power outage suspected in {where}",
	TellConfirmed: "About {n} customers have been without electricity since {since}.",
	TellSuspected: "About {n} customers seem to have been without electricity since {since}. This isn’t confirmed yet.",
	TellPlanned:   "Supply is off for work, for about {n} customers, from {since} on.", TellPlannedEnd: "It is planned to be back at {time}.",
	TellBack: "Supply is expected to be back by {time}.", TellBackUnknown: "It is being assessed when supply will be back.", TellCause: "Cause: {cause}.",
	HeadlineOver: "Over: {headline}", NoteOver: "The outage is over, or fewer than {n} customers are without supply.",
}
