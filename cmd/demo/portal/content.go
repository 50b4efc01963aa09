package portal

// content is one page of sample data. What is empty is not shown.
type content struct {
	Group string
	Path  string
	Title string
	Lead  string
	Facts []fact
	Cards []card
	Table *table
	Note  string
}

type fact struct{ Name, Value string }

type card struct{ Title, Text, Figure string }

type table struct {
	Caption string
	Columns []string
	Rows    [][]cell
}

// cell is text; with a tone (good, warn, calm) it is a badge.
type cell struct{ Text, Tone string }

func row(cells ...cell) []cell  { return cells }
func text(s string) cell        { return cell{Text: s} }
func badge(s, tone string) cell { return cell{s, tone} }

// catalogue lists the fourteen pages that links from cPanel lead to.
func catalogue() []content {
	pages := ordering()
	pages = append(pages, support()...)
	return append(pages, account()...)
}

// overview is the page for those who ask for none.
func overview() content {
	return content{
		Path: "/", Title: "Overview",
		Lead: "Your hosting at a glance.",
		Cards: []card{
			{"Due now", "Invoice #10518, payable until 1 June", "$14.00"},
			{"Tickets", "One of them waits for your answer", "2 open"},
			{"Plan", "Business, 10 sites, 100 GB, daily backups", "$14 a month"},
		},
	}
}

func ordering() []content {
	const group = "Ordering"
	return []content{
		{
			Group: group, Path: "/upgrade", Title: "Upgrade or downgrade",
			Lead: "Change to another plan at any time. The difference is worked out to the day.",
			Cards: []card{
				{"Starter", "1 site, 10 GB, e-mail for 5 people", "$6 a month"},
				{"Business", "10 sites, 100 GB, daily backups. Your plan now.", "$14 a month"},
				{"Agency", "50 sites, 400 GB, staging and priority support", "$39 a month"},
			},
		},
		{
			Group: group, Path: "/domains/register", Title: "Register a domain",
			Lead: "Find a name for your next project.",
			Table: &table{"Endings", []string{"Ending", "First year", "Renewal"}, [][]cell{
				row(text(".com"), text("$11.90"), text("$13.90")),
				row(text(".net"), text("$12.90"), text("$14.90")),
				row(text(".org"), text("$9.90"), text("$13.90")),
				row(text(".shop"), text("$2.90"), text("$29.90")),
			}},
		},
		{
			Group: group, Path: "/domains/transfer", Title: "Transfer a domain",
			Lead: "Bring a domain here from another registrar. It keeps its remaining time and gains a year.",
			Facts: []fact{
				{"You need", "The authorisation code of your present registrar"},
				{"It takes", "Five to seven days"},
				{"Meanwhile", "Web and e-mail go on working"},
			},
		},
	}
}

func support() []content {
	const group = "Support"
	return []content{
		{
			Group: group, Path: "/tickets/new", Title: "Open a ticket",
			Lead: "Tell us what is wrong, and we will write back.",
			Cards: []card{
				{"Technical support", "Web sites, e-mail, DNS", "about 20 minutes"},
				{"Billing", "Invoices and payments", "within a day"},
				{"Sales", "Before you buy", "within a day"},
			},
		},
		{
			Group: group, Path: "/tickets", Title: "Tickets",
			Lead: "What you asked us, and what came of it.",
			Table: &table{"Your tickets", []string{"Ticket", "Subject", "Updated", "State"}, [][]cell{
				row(text("#48213"), text("Certificate for shop subdomain"), text("2 hours ago"), badge("Answered", "good")),
				row(text("#48102"), text("Raise the upload limit"), text("3 days ago"), badge("Waiting for you", "warn")),
				row(text("#47760"), text("Moving from another host"), text("5 weeks ago"), badge("Closed", "calm")),
			}},
		},
		{
			Group: group, Path: "/announcements", Title: "Announcements",
			Lead: "News about your hosting.",
			Cards: []card{
				{"PHP 8.5 is here", "Choose it under Software in cPanel. Older versions stay.", "12 May"},
				{"Night work in Frankfurt", "Network maintenance, two minutes without a connection at most.", "3 May"},
				{"Backups now kept 30 days", "For all Business and Agency plans, at no charge.", "18 April"},
			},
		},
		{
			Group: group, Path: "/downloads", Title: "Downloads",
			Lead: "Small helpers for your hosting.",
			Table: &table{"Files", []string{"File", "For", "Size"}, [][]cell{
				row(text("Mail settings profile"), text("iPhone, iPad, Mac"), text("6 KB")),
				row(text("Migration checklist"), text("PDF"), text("140 KB")),
				row(text("Data processing agreement"), text("PDF"), text("220 KB")),
			}},
		},
		{
			Group: group, Path: "/knowledgebase", Title: "Knowledgebase",
			Lead: "Answers that others looked for.",
			Cards: []card{
				{"Point a domain to your site", "Name servers, A records, and how long it takes", "4 minutes"},
				{"E-mail lands in spam", "SPF, DKIM and DMARC in plain words", "6 minutes"},
				{"Restore a backup yourself", "One file or the whole account", "3 minutes"},
			},
		},
		{
			Group: group, Path: "/network-status", Title: "Network status",
			Lead: "How our servers are doing right now.",
			Table: &table{"Services", []string{"Service", "Where", "State"}, [][]cell{
				row(text("Web hosting"), text("Frankfurt"), badge("Running", "good")),
				row(text("Web hosting"), text("Virginia"), badge("Running", "good")),
				row(text("E-mail"), text("All"), badge("Delayed", "warn")),
				row(text("Name servers"), text("All"), badge("Running", "good")),
			}},
		},
	}
}

func account() []content {
	const group = "Account"
	return []content{
		{
			Group: group, Path: "/profile", Title: "Profile",
			Lead: "How we reach you.",
			Facts: []fact{
				{"E-mail", "owner@example.com"},
				{"Telephone", "+1 555 0134"},
				{"Address", "12 Harbour Street, Springfield"},
				{"Language", "English"},
			},
			Note: "To change any of this we would ask for your password: a click in cPanel shows that somebody has your panel, not that it is you.",
		},
		{
			Group: group, Path: "/billing", Title: "Billing",
			Lead: "What you pay for, and what is due.",
			Cards: []card{
				{"Due now", "Invoice #10518, payable until 1 June", "$14.00"},
				{"Credit", "Used for your next invoice", "$0.00"},
				{"Next renewal", "Business plan, paid by the month", "18 June"},
			},
			Table: invoices(),
		},
		{
			Group: group, Path: "/billing/methods", Title: "Payment methods",
			Lead: "How you pay.",
			Table: &table{"Payment methods", []string{"Method", "Valid until", "Use"}, [][]cell{
				row(text("Card ending in 4242"), text("08/2028"), badge("Default", "good")),
				row(text("Bank account ending in 117"), text("—"), badge("Spare", "calm")),
			}},
			Note: "To add or change a method we would ask for your password: a click in cPanel shows that somebody has your panel, not that it is you.",
		},
		{
			Group: group, Path: "/emails", Title: "E-mail history",
			Lead: "Every message that we sent you.",
			Table: &table{"Messages", []string{"Sent", "Subject"}, [][]cell{
				row(text("18 May"), text("Your invoice #10518")),
				row(text("12 May"), text("PHP 8.5 is here")),
				row(text("21 April"), text("Thank you for your payment")),
			}},
		},
		{
			Group: group, Path: "/invoices", Title: "Invoices",
			Lead:  "All invoices, the newest first.",
			Table: invoices(),
		},
	}
}

func invoices() *table {
	return &table{"Invoices", []string{"Invoice", "Date", "Amount", "State"}, [][]cell{
		row(text("#10518"), text("18 May 2026"), text("$14.00"), badge("Unpaid", "warn")),
		row(text("#10418"), text("18 Apr 2026"), text("$14.00"), badge("Paid", "good")),
		row(text("#10318"), text("18 Mar 2026"), text("$14.00"), badge("Paid", "good")),
		row(text("#10302"), text("2 Mar 2026"), text("$11.90"), badge("Paid", "good")),
		row(text("#10218"), text("18 Feb 2026"), text("$14.00"), badge("Refunded", "calm")),
	}}
}
