"""Sentences: openings, statements, details, verdicts. Their tone comes from the pools that they call."""

RULES = """
== very
very; so; really; absolutely; truly; just; always; quite; rather; simply; wonderfully; surprisingly; genuinely
incredibly; extremely; pretty; remarkably; consistently; exceptionally; thoroughly
== abit
a bit; rather; very; quite; too; a little; far too; really; somewhat; terribly; disappointingly; pretty; unusually
awfully; a touch; painfully; surprisingly; dreadfully; so; extremely
== inyears
in years; in a long time; in ages; all year; this summer; since {our} honeymoon; anywhere; in this town
for a long while; outside {town}
== lead
to be honest; frankly; honestly; in short; all in all; as for the {kindof}; this time; once again; as always; overall
to be fair; in the end; for the record; I must say; by the way; first of all; all things considered
from what {we} saw
== lead praise
luckily; happily; as ever; {our} only regret is leaving, and; to {our} delight; without exaggeration
credit where it is due
== lead neg
sad to say; sadly; unfortunately; I am sorry to say; regrettably; to {our} surprise; despite the good reviews
for that money; even so; this year
== opening
{who} took {us} to {place} {when}; it was {our} first time {at} {place}; {we} had heard a lot about {place}
{who} recommended {place}; {we} had been looking forward to {place} [for weeks|all month|for a long time]
{we} booked {place} for {occasion}; {we} read about {place} in [the paper|a magazine|a guidebook|a blog]
{place} was recommended by {who}; just back from {place}; {we} used to love {place}; friends told {us} about {place}
{we} ended up {at} {place} {when}
== opening house
{we} {visited} {place} {when}[ with {who}|]; {we} {visited} {place} {when}[ for {occasion}|]
{we} came to {place} with {who} {when}; {we} stopped {at} {place} {when}; {when}, {we} {visited} {place}[ with {who}|]
{we} took {who} to {place} {when}; {we} found {place} {nearby}; {we} chose {place} for {occasion}; {place} is {nearby}
{place} is a {kindof} {nearby}; {weve} been to {place} {often}
{we} went to {place} {when} because {who} had suggested it; this was {our} second visit to {place}
{we} wanted to try {place} for {occasion}; {we} walked past {place} {when} and decided to go in
there were {number} of us {at} {place} {when}; {we} met {who} {at} {place} {when}; {weve} known {place} for years
{who} and I went to {place} {when}; {we} live near {place} and go there often
== opening restaurant
{we} booked a table for {number} {at} {place}; {we} had dinner {at} {place} {when}; {we} had lunch {at} {place} {when}
{we} arrived {at} {place} at {hour}; {we} ordered the {dish} {at} {place}; {we} ate {at} {place} {when} with {who}
== opening pub
{we} popped into {place} {when}; {we} had a quick drink {at} {place} {when}; {we} met {who} for a drink {at} {place}
{we} went to the quiz {at} {place} {when}; {we} had Sunday lunch {at} {place}; {we} watched the match {at} {place}
== opening cafe
{we} had coffee {at} {place} {when}; {we} met {who} for coffee {at} {place}; {we} dropped into {place} {when}
{we} had breakfast {at} {place} {when}; {we} sat outside {at} {place} {when}
{we} always get {our} {drink} {at} {place}
== opening hotel
{we} stayed {at} {place} {when}; {we} stayed {at} {place} for {number} nights
{we} spent {number} nights {at} {place} with {who}; {we} booked a room {at} {place} for {occasion}
{we} checked into {place} at {hour}; {we} spent a week {at} {place} in {town}; {we} arrived {at} {place} late at night
{we} booked {place} online; {we} had a room on the third floor of {place}
== opening museum
{we} spent an afternoon {at} {place}; {we} spent {number} hours {at} {place} {when}
{we} took {who} to {place} on a rainy day; {we} bought tickets for {place} online
{we} went to the new exhibition {at} {place} {when}
== opening shop
{we} bought a {gift2} {at} {place} {when}; {we} ordered a {gift2} from {place}
{we} went to {place} to buy a {gift2} for {who}; {we} took a {gift2} back to {place} {when}
{weve} shopped {at} {place} {often}; {wewere} looking for a {gift2} {at} {place}
== opening tour
{we} booked {place} for {number} people; {we} did {place} {when}; {we} joined {place} with {who} {when}
{we} bought tickets for {place} from {our} hotel; {we} went on {place} {when}; {we} booked {place} online
== visited
visited; went to; came to; stopped by; tried; dropped into
== visited tour
did; joined; booked; went on; tried
== gift2
jacket; lamp; teapot; book; scarf; bike; rug; dress; clock; watch; guitar; suitcase; coat; puzzle; mirror; tent
birthday present; wedding present; ring; kettle
== statement
the {thing} {pred}; the {thing} {pred}; the {thing} {pred}; the {thing} {at} {place} {pred}
the {thing} {at} {place} {pred}; {lead}, the {thing} {pred}; {lead}, the {thing} {pred}
the {thing} {pred} [this time|again|on {our} visit|that day|from the start]; {we} {thought} the {thing} {pred}
{we} came for the {thing}, and {they} {pred}; {who} agreed that the {thing} {pred}; {at} {place} the {thing} {pred}
I have to say the {thing} {pred}; let me say that the {thing} {pred}; [well, |]the {thing} {pred}
{we} had looked forward to the {thing}, and {they} {pred}; {we} can only report that the {thing} {pred}
the first thing {we} noticed was that the {thing} {pred}; you should know that the {thing} {pred}
== statement
the {thing} {pred}, {tag}; {on_day} the {thing} {pred}; the {thing} {pred} when {wewere} there
if you ask me, the {thing} {pred}; as far as I can tell, the {thing} {pred}; as {who} put it, the {thing} {pred}
by all accounts the {thing} {pred}; no doubt about it, the {thing} {pred}; yes, the {thing} {pred}
for once, the {thing} {pred}; the {thing} here {pred}; {we} still talk about how the {thing} {pred}
it is true that the {thing} {pred}; my notes say that the {thing} {pred}; {we} remember that the {thing} {pred}
just so you know, the {thing} {pred}; the {thing} {pred}, at least {when}; this time round the {thing} {pred}
in {our} case the {thing} {pred}; {we} can tell you that the {thing} {pred}; from the first minute the {thing} {pred}
the {thing}, which {we} had read about, {pred}; what struck {us}: the {thing} {pred}
== statement house
everybody in {town} knows that the {thing} {at} {place} {pred}
{place} is one of those places where the {thing} {pred}
== tag
in {our} view; as usual; at least for {us}; I would say; no question; I promise; if you ask {who}; {we} thought
to say the least
== on_day
that day,; this time,; {when},; by the time {we} got there,; on both days; for {us},; on the whole,; by and large,
yet again,
== statement eatery
when {we} finally sat down, the {thing} {pred}; the {thing} {wewere} given {pred}; the {thing} that {we} had {pred}
I am writing because the {thing} {pred}; everybody in {town} knows that the {thing} {pred}
== statement food
{we} ordered the {dish}, which {pred}; {we} had the {dish}, which {pred}; {who} had the {dish}, which {pred}
{we} tried the {dish} and {they} {pred}; the {dish} {pred}; {we} shared the {dish}, which {pred}
== statement drinks
{we} ordered a round, and the {thing} {pred}; the {thing} {we} ordered {pred}
== statement service
the {staff} {staffpred}; the {staff} {staffpred}; the {staff} {at} {place} {staffpred}
the {staff} {at} {place} {staffpred}; the {staff} {who2} {staffpred}; {lead}, the {staff} {staffpred}
I have to say that the {staff} {staffpred}; when {we} arrived, the {staff} {staffpred}
when {we} asked about {ask}, the {staff} {staffpred}; after {minutes} the {staff} {staffpred}
{we} talked to the {staff}, who {staffpred}; {we} asked the {staff} about {ask}, and {they} {staffpred}
{we} thought the {staff} {staffpred}; the {staff} {we} spoke to {staffpred}
the {staff} that {we} dealt with {staffpred}; {who} said that the {staff} {staffpred}
== who2
{we} spoke to; {we} met; on duty {when}; in the blue shirt; with the glasses; {we} dealt with
== ask
a table; the bill; a refund; the opening hours; the wine; parking; the music; {our} booking; {our} coats; the menu
a discount; the allergens; a high chair; the vegan option; the toilets; a receipt; the deposit; a later checkout
the delay; wheelchair access; gluten free food; {our} order; the heating; a quieter table; the way to the {landmark}
a taxi; the tickets; a replacement
== thought
thought; felt; found that; noticed that; heard that; saw that; feel that
== staffmove
the {staff} {staffpred}; the {staff} {staffpred}; and the {staff} {staffpred}; the {staff} {staffpred}, too
even the {staff} {staffpred}; also, the {staff} {staffpred}; when {we} asked about {ask}, the {staff} {staffpred}
on top of that, the {staff} {staffpred}; as {we} left, the {staff} {staffpred}
{we} asked for {ask}, but the {staff} {staffpred}; {we} asked for {ask}, and the {staff} {staffpred}
== detail praise food
{they} came with {garnish}, which was {tasty}; every bite was {tasty}; {we} would order it again tomorrow
{who} ate every last crumb; {we} even asked for the recipe; there was plenty of it, and all of it {tasty}
{we} nearly licked the plate; the kitchen clearly cares; the {garnish} was a nice touch
you can taste that everything is made from scratch; {who} {is} still talking about the {dish}
for {sum} you cannot go wrong; there was enough for {number}
== detail complaint food
{we} left most of it; {who} could not finish it; {we} sent it back twice; when {we} said so, nobody listened
for {sum} that is not good enough; {who} felt unwell afterwards; {we} had to ask for cutlery
half of it went to the dog; {we} expected more for {bigsum}; even the {garnish} could not save it
the menu promised something else; {we} ate at home afterwards; somebody should look at the menu again
{we} did mention it, and got a shrug
== detail praise drinks
{they} {+know} how to keep a cellar; {we} stayed for another round; {who} had three of them
even {who} {was} impressed; the choice is excellent
== detail complaint drinks
{we} left half of it; {we} had to ask for water three times; there was nothing without alcohol
the glass had lipstick on it; the list is far too short; for {sum} {we} expected more
== detail praise room
{we} slept like babies; {we} did not want to leave; the pillows were like clouds; {we} woke up to the sound of birds
there were fresh flowers on the table; everything smelled of fresh linen; {who} loved the bath
== detail complaint room
{we} slept badly for {number} nights; {we} asked for another room, without success; the lift was out of order as well
there was hair in the bath; {we} could hear every word next door; nobody came to fix it
{we} moved to another hotel the next day; housekeeping never came
== detail praise service
nothing was too much trouble; {we} never had to wait; {who} {was} treated like royalty; {we} felt like old friends
they even {nicedid}; it is the little things that count; {we} left a big tip
== detail complaint service
{we} waited {minutes} for {ask}; {we} asked three times for {ask}; nobody said sorry; a smile would have cost nothing
it took {minutes} to get {ask}; {we} gave up after {minutes}; perhaps they were short of staff
{we} had to fetch the {gift} {myself}; a little more training would help; {who} {was} close to tears
{we} did not leave a tip
== detail praise price
for {sum} you cannot complain; {we} paid {bigsum} for {number} of us, which is fair; children get in for free
there was even a discount for pensioners; {we} expected to pay twice as much
== detail complaint price
{we} paid {bigsum} for {number} of us; nobody could explain the extra {sum}; the website says {sum}
{wewere} charged for water; the card machine was broken as well; {we} asked for a receipt and got none
you get more for your money elsewhere
== detail praise atmosphere
{we} stayed until {hour}; there was a log fire and a sleepy dog; people were laughing at every table
the band played until {hour}; you could hear yourself talk; there are candles on every table
{who} did not want to leave
== detail complaint atmosphere
{we} had to shout across the table; there was a smell of drains; the toilets were out of paper
{we} kept {our} coats on; there were {number} hen parties; the next table was practically in {our} lap
{we} left at {hour} with a headache
== detail praise exhibits
{we} stayed until it closed; {who} wanted to go round again; there is a lot to touch and try
allow at least {number} hours; the view from the top is worth the stairs; the labels are in {number} languages
{we} learned something new in every room
== detail complaint exhibits
{wewere} through in {quick}; half of the rooms were closed; there was nowhere to sit
the labels were too small to read; {who} {was} bored after {quick}; the lift was broken
you had to book a slot, which nobody tells you; the queue took {minutes}
== detail praise sights
{we} took hundreds of photos; {we} even saw dolphins; {who} {+want} to go again; bring a warm jacket and a camera
the group was small and friendly; {we} laughed the whole way; the weather was kind to {us}
== detail complaint sights
{we} waited {minutes} at the meeting point; {we} saw nothing but fog; there were {number} people too many
{we} could not hear a word; half of it was spent in a souvenir shop; {who} felt sick the whole time
there were no toilets on board; nobody told {us} about the change
== detail praise goods
{who} {+wear} it all the time; they wrapped it beautifully; {they} even offered a discount
{we} left with more than {we} came for; you can browse for hours; the choice is huge; I found a present for {who} too
== detail complaint goods
{we} took it back, and got only a voucher; nobody answered {our} mails; {weare} still waiting for {our} money
the box had been opened before; the zip broke on the first day; it cost {sum} to send it back
{we} found the same thing online for {sum}
== detail praise location
you can walk to the {landmark} in {quick}; there is free parking; {we} loved the walk along the {landmark}
everything is close by
== detail complaint location
there is nowhere to park; the bus runs once an hour; {we} got lost twice; a taxi to the {landmark} costs {sum}
there is nothing to do in the evening
== verdict praise
{we} will [certainly|definitely|gladly|surely|] be back[ {soon}|]; {we} will come again[ {soon}|]; highly recommended
I cannot recommend it highly enough
thank you for [everything|a lovely {evening}|a perfect {evening}|looking after us]; five stars
{we} cannot wait to come back; do not miss it; it made {our} day; a {kindof} to remember
if you are in {town}, go there; thank you all; worth a detour; ten out of ten; {we} left with a smile
well done to the whole team; keep it up; it is now {our} favourite {kindof}; what a lovely {kindof}; what a find
perfect for {occasion}; {we} have already booked again; {who} loved it; {who} would give it ten out of ten
a {cosy} little {kindof}; simply the best {kindof} in {town}; see you next year
{we} have told all {our} friends about it; ideal for {occasion}; the {meal} was a pleasure
{wewere} made to feel very welcome; {place} deserves every star; you can feel the love that goes into it
a big thank you to the {staff}; please never change; hats off to the {staff}
== verdict complaint
{we} will not be back; {we} expected better; {we} will not be coming back[ {soon}|]; such a shame
it used to be better; two stars; three stars at best; {weare} disappointed; not recommended; I would think twice
please do something about it; {we} will try somewhere else; there are better places in {town}; {we} left early
{we} hope it gets better; {we} would like {our} money back; {we} asked for a refund and heard nothing
{who} {was} not impressed; a wasted day; not worth the trip; once was enough; {we} felt let down
{we} might give it another chance; it could be so good; the {kindof} deserves better
{weare} still waiting for a reply; someone should look into this; {we} do not understand the good reviews
I hope the owner reads this; I would not send {who} there; room for improvement; perhaps it was just a bad day
{place} has gone downhill; {we} wrote to the manager and heard nothing; next time {we} will stay at home
a pity, because the {kindof} is {nearby}
== verdict complaint eatery
{we} had to leave hungry; it was not a cheap meal either; {we} had a kebab on the way home
next time {we} will cook at home
== at journey
on
== at house
at
== soon
soon; next year; next month; with friends; with the kids; in the spring; before long; for {occasion}
whenever {weare} in {town}; at Christmas; for a whole weekend; with {who}
== closing praise
lovely; delightful; thank you; wonderful; perfect; cheers; bravo; superb; just great; pure joy; simply lovely
== closing complaint
disappointing; poor; never again; not good enough; must do better; a shame; a real pity; no thanks; avoid
"""
