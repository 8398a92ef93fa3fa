"""People and times: companions, staff, occasions, when it was."""

RULES = """
== who
my wife@f; my husband@m; my mother@f; my father@m; my sister@f; my brother@m; my daughter@f; my son@m
my grandmother@f; my grandfather@m; my aunt@f; my uncle@m; my boyfriend@m; my girlfriend@f; my partner; my boss
my best friend; a friend; an old friend; my cousin; my neighbour; a colleague; my mum@f; my dad@m; my niece@f
my nephew@m; my parents@p; my kids@p; the children@p; our friends@p; two friends@p; some colleagues@p; the in-laws@p
my grandchildren@p; the whole family@n; my flatmate; my roommate; my mother-in-law@f; my father-in-law@m
my teammates@p; the twins@p; my students@p; my classmates@p; my stepson@m; my teenage daughter@f; my eldest@f
my youngest@m; my fiancee@f; my fiance@m; our little one; my godson@m; my pen friend
== staff pub
barman@m; barmaid@f; bartender; landlord@m; landlady@f; bar staff@p; staff@p; waiter@m; waitress@f; owner; manager
doorman@m; cook; server; owners@p; chef; young man behind the bar@m; woman at the till@f; lad who served us@m
girl who took our order@f
== staff restaurant
waiter@m; waitress@f; waiters@p; chef; head waiter@m; staff@p; manager; owner; hostess@f; server; sommelier
kitchen staff@p; owners@p; cook; assistant manager; young waiter@m; woman at the door@f; man who seated us@m
server at our table; lady who took our order@f; deputy manager; maitre d@m
== staff hotel
receptionist; porter@m; manager; staff@p; owner; concierge; night porter@m; cleaner; cleaners@p; housekeeping team@p
front desk staff@p; owners@p; host; hostess@f; doorman@m; duty manager; bellboy@m; barman@m; lady at reception@f
man at the front desk@m; breakfast staff@p; housekeeper@f; spa staff@p
== staff cafe
barista; waitress@f; waiter@m; staff@p; owner; owners@p; manager; baker; baristas@p; girl at the counter@f
lad at the till@m; lady who runs it@f; couple who run it@p; server; cook; man behind the counter@m
woman who made our coffee@f; students who work there@p
== staff museum
guide; staff@p; attendant; attendants@p; curator; volunteers@p; volunteer; ticket seller; receptionist
security guard@m; guard@m; lady at the ticket desk@f; man in the gift shop@m; director; cashier; guides@p
woman in the cloakroom@f; caretaker@m; student who showed us round
== staff shop
shop assistant; assistant; cashier; owner; manager; staff@p; salesman@m; saleswoman@f; shopkeeper; man at the till@m
woman at the counter@f; owners@p; tailor@m; sales staff@p; security guard@m; store manager; delivery driver@m
young assistant; florist; lady in the fitting room@f; clerk; man in the paint section@m
== staff tour
guide; tour guide; driver; captain@m; skipper; crew@p; guides@p; organisers@p; bus driver; tour leader; coach driver@m
lady from the tour company@f; staff@p; man who sold us the tickets@m; young guide; boatman@m; instructor; ranger
company@n; agent
== person
waiter; guest; visitor; neighbour; tourist; customer; regular; driver; teacher; nurse; student; pensioner; colleague
traveller; local; musician; grandparent
== when
last night; yesterday; on Friday; on Saturday; on Sunday; on Monday evening; on Tuesday; on Wednesday
on Thursday night; last week; last weekend; last month; this morning; this afternoon; earlier today; a few days ago
two weeks ago; at Easter; over Christmas; in January; in February; in March; in April; in May; in June; in July
in August; in September; in October; in November; on a rainy Tuesday; on a quiet Sunday; on a busy Saturday
after work; after the match; after the theatre; before the show; at lunchtime; for the first time; for the second time
on New Year's Eve; during half term; on the bank holiday; on our way home; on the way to the airport; on our honeymoon
after a long walk; in the middle of the week; on a cold evening; in the pouring rain; during the heatwave
just after opening; just before closing; late in the evening; on Friday afternoon; the day before yesterday
over the weekend
== occasion
my birthday; our anniversary; a birthday; a christening; a family reunion; a business lunch; a first date; a hen party
a retirement do; Mother's Day; Father's Day; Valentine's Day; a graduation; a wedding; a work party; a quick bite
a night out; a treat; a special dinner; my sister's birthday; my dad's sixtieth; my mum's seventieth
a reunion of old friends; a leaving do; our tenth anniversary; a school trip; a christmas lunch; a wake
== often
twice; three times; for years; every week; many times; every summer; once before; a dozen times; since it opened
every Friday; most weekends
== minutes
five minutes; ten minutes; fifteen minutes; twenty minutes; half an hour; forty minutes; three quarters of an hour
an hour; over an hour; nearly an hour; ages; an age; an eternity; almost two hours; fifty minutes
what felt like forever
== quick
two minutes; five minutes; no time; a minute; seconds; a few minutes; a moment
== number
two; three; four; five; six; seven; eight; nine; ten; a dozen; twelve
== hour
seven; eight; nine; ten; noon; six; half past seven; half past eight; midnight; eleven
== sum
£4; £5; £6; £7.50; £8; £9.50; £10; £12; £14; £15; £18; £20; £22; £25; £28; £30; £35; £40; $8; $12; $15; $18; $25; $30
$45; €9; €12; €16; €24
== bigsum
£60; £75; £80; £90; £110; £120; £140; £160; £185; £200; £240; £300; $95; $120; $150; $180; $210; $260; €85; €130; €170
€220
"""
