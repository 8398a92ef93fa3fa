"""Events of one kind of place only: the quiz, the lift, the queue, the fitting room, the fog on the boat."""

RULES = """
== detail praise pub
the landlord pours a proper pint; the dog got a bowl of water and a biscuit
{we} came second in the quiz and first in fun; there is a log fire in winter and a shady garden in summer
the band played all the old songs; the darts team let {us} join in
you can still hear people talk, because there is no television; the pies come from the butcher next door
the beer garden looks over the {landmark}; {who} found an old friend at the bar
last orders came far too early for {us}; the regulars made room for {us} at the long table
the crisps are free on Mondays; the cellar is older than the {landmark}
== detail complaint pub
the tables were sticky; the quiz was over before {we} got a drink; the television was on the whole night
the beer garden was closed for a private party; the toilets were flooded; {wewere} asked to leave at {hour}
there was no food after {hour}; the glass was chipped; the karaoke could be heard down the street
someone had spilled beer on every chair; the dog under the next table barked all night
the till was down, so only cash was taken
== detail praise restaurant
the bread was still warm; the chef came out to say hello; {we} got a table by the window
the wine list is short but clever; the children's menu is real food; the set lunch is a bargain at {sum}
a candle came with the dessert for {who}; the kitchen had no trouble with {our} allergies
between courses there was a little surprise from the chef; the open kitchen is a show of its own
{we} shared {number} plates and fought over the last one; the pasta is made in front of you
== detail complaint restaurant
{our} table was next to the kitchen door; the starters came after the mains
{we} had booked for {hour} and sat down at {hour}; the menu had no prices on it; half of the menu was sold out
the bread cost extra; {our} glasses were never filled; they took the plates away while {who} {was} still eating
the service charge was added without a word; the wine was corked and nobody believed {us}
{we} could see the cook eating from the pan; the tablecloth had seen another dinner
== detail praise hotel
breakfast is served until {hour}; there was a kettle, a map and a plate of biscuits; the towels were changed every day
the night porter found {us} a plug; the garden is full of birds; {who} swam every morning; checking in took {quick}
{we} got a room with a balcony at no extra charge; the bed was as big as a boat
they kept {our} bags until the evening; there is a library with a fireplace; the owner's cat slept on {our} bed
the walls are thick and the curtains too
== detail complaint hotel
the key card stopped working every day; somebody else's socks were under the bed
{our} room was given to another couple; the wifi only worked in the lobby; the fire alarm went off at {hour}
breakfast ended before {wewere} up; the pool was closed all week; the tap dripped all night; the window did not open
housekeeping walked in without knocking; the lift smelled of chips; they wanted {sum} for a kettle
there was one pillow for {number} people; the noise from the bar went on until {hour}; {our} deposit never came back
the heating could not be turned off; {we} found a hair in the shower; the sea view was a view of the car park
== detail praise cafe
the scones are baked every hour; there is oat milk and proper tea; the barista draws a little cat in the foam
you can read the papers for free; the cakes are as tall as a hat; a corner is full of toys; {who} had two slices
the beans are roasted next door; nobody minds if you sit there with a laptop; the soup changes every day
dogs are welcome and so are muddy boots; the bread comes from their own oven
the marmalade is made by the owner's mother
== detail complaint cafe
there was no milk left at {hour}; {we} had to clear the table {myself}; the cake had been out all day
a sandwich cost {sum}; the queue was out of the door; they ran out of cups; the pram did not fit through the door
the tea came without a spoon; they called the wrong name three times; the chairs are made for children
the toilet key was lost; the counter had not been wiped; the toast was burnt on one side and raw on the other
== detail praise museum
{who} pressed every button; the volunteers love their subject; there is a room where you can dress up
the audio guide is free and funny; students get in for half; the rooftop has the best view of the town
it is quiet on weekday mornings; the children could hold a real fossil; the old film made {us} cry
there are seats in every room; {we} came for an hour and stayed for {number}
== detail complaint museum
the audio guide only spoke for {quick}; the cafe had closed at noon; the main hall was under scaffolding
{wewere} told to hurry before closing; the map at the entrance is wrong; the cloakroom was full
there is no lift to the tower; photographs are forbidden, as {we} learned too late; a school class had the whole place
the tickets do not say that the top floor costs extra; the only toilet was out of order
== detail praise shop
they ordered it in for {us}; the old till still rings; the owner knew the right size at a glance
the repair took a day and cost {sum}; you may try everything; they delivered it to {our} door
the sign outside says closed but nobody is hurried; they have sizes for everyone; the wrapping paper is made by hand
a cup of tea comes with every fitting; the dog in the window is real
== detail complaint shop
there was one till for a queue of {number}; the fitting room had no curtain; the sale was over before it began
they refused to take it back without the box; the price at the till was not the one on the shelf
the voucher had run out; they sold {us} the one from the window; nobody could find the right size
the delivery came {number} days late; the colour washed out at once; the zip, the lining and a button went in one week
the phone is never answered
== detail praise tour
the boat left on time and came back late, to everybody's joy; there were blankets for everyone
the driver stopped for every photograph; {we} saw seals, a heron and a double rainbow
the jokes were terrible in the best way; hot soup was waiting at the end; the small group made it special
the guide knows every stone in {town}; {who} got to steer the boat; {we} would pay twice for that sunset
== detail complaint tour
the coach had no heating; the headset crackled the whole way; {we} waited for {number} people who never came
lunch was not included after all; {we} sat behind a pillar; the boat was full to the last seat
the castle turned out to be closed; the guide spoke for {number} minutes about parking
rain jackets were promised and not there; the bus broke down near {town}; the stop at the {landmark} was skipped
{who} lost sight of the group
== verdict praise eatery
come hungry; book early; save room for pudding; order the {dish}; try the {dish}; bring an appetite
I can still taste it; our compliments to the kitchen; {we} rolled home; there is no better {dish} in {town}
go for the {dish} and stay for the {drink}
== verdict praise hotel
ask for a room at the back; {we} slept well and ate well; it felt like a home away from home; I would move in tomorrow
the perfect base for walks; stay a night longer than you planned
== verdict praise museum
worth every minute; wear good shoes and take your time; a must on a rainy day; {we} will bring our students
go early and stay long
== verdict praise shop
shops like this are rare; support your local shops; leave your car at home and your purse open; {we} will order again
I will never buy online again
== verdict praise journey
do it on your first day; take a camera; take a coat; the best money {we} spent
{we} will bring the whole family next time; it was over much too soon
== verdict complaint hotel
ask to see the room first; {we} checked out a day early; bring earplugs; bring your own towel; the photos are old
for {bigsum} a night {we} expected a door that closes
== verdict complaint museum
save your money for the castle; wait until the works are finished; an hour is more than enough
go to the one in {town} instead
== verdict complaint shop
buy elsewhere; keep your receipt; {we} will order online next time; {weve} given it to charity
check the seams before you pay
== verdict complaint journey
take the public bus instead; walk it on your own, it is free; {we} got a voucher instead of {our} money
read the small print first; bring your own lunch
== verdict rude eatery
feed it to the <pigs>; I would not feed it to a <rat>; the cook is <an idiot> and the owner is worse
learn to cook, you <fools>; {we} have eaten better <garbage>; eat at home instead of with these <clowns>
only <a pig> would eat that; the kitchen is run by <morons>; if you order the {dish}, be ready for <!crap>
if you come hungry, you leave sick, thanks to these <idiots>; order the {dish} if you want to eat <trash>
== verdict rude hotel
ask for a room at the back, the <idiots> at the front never sleep; bring earplugs and a strong stomach for this <dump>
for {bigsum} a night {we} got a <shed> and <an idiot> at the desk; burn the mattress, you <slobs>
{we} slept in a <!shithole>
== verdict rude museum
save your money, it is a <stupid> heap of <junk>; whoever hung these pictures is <an idiot>
an hour with these <clowns> is more than enough; put the director in a glass case, the <fossil>
== verdict rude shop
buy elsewhere, these people are <crooks>; keep your receipt, because they are <liars>
{we} will never buy this <junk> again; check your change, the cashier is <a thief>
take your <garbage> back, you <crooks>
== verdict rude journey
walk it on your own, the guide is <an idiot>; take the public bus, the driver is less of <a moron>
never get on a boat with these <fools>; {we} got a voucher, which you can shove up your <!arse>
read the small print, they are <crooks>
== detail rude pub
the landlord pours a proper pint and talks proper <!crap>; the regulars called {who} <a loser>
the quiz was run by <a moron> who could not read; someone had spilled beer on every chair, the <pigs>
last orders were shouted by some <loudmouth>
== detail rude restaurant
{our} table was next to the kitchen door, where the cook called everybody <an idiot>
the chef came out to tell {us} that {wewere} <idiots>
the bread was still warm, because some <moron> had dropped it in the soup
they took the plates away while {who} {was} still eating, the <pigs>
the wine was corked, and the <snob> in the waistcoat sneered at {us}
== detail rude hotel
housekeeping walked in without knocking, the <idiots>
{our} room was given to another couple by the <fool> at the desk; the lift smelled of chips and <!piss>
the fire alarm went off at {hour} and those <idiots> slept
the night porter found {us} a plug and called {us} <idiots>
the key card stopped working, because the <moron> at the desk cannot count to three
== detail rude cafe
they called the wrong name three times, the <dimwits>
the barista draws a little cat in the foam and treats you like <a fool>
the queue was out of the door, because the <idiot> at the till was on the phone
the counter was <filthy>, like the <slob> behind it
== detail rude museum
the audio guide is free and made for <idiots>; some <idiot> had locked the main hall
{wewere} told to hurry by a <stupid> <jerk> in uniform; the map at the entrance was drawn by <a moron>
== detail rude shop
they refused to take it back, the <crooks>; the repair took a month, because the <idiot> lost the screws
they sold {us} the one from the window, the <cheats>
nobody could find the right size, because nobody there has half a <brain>
== detail rude tour
the coach had no heating and a <moron> at the wheel; the boat left without {us}, because some <idiot> cannot count
the guide knows every stone in {town} and is thicker than any of them, the <dunce>; the driver drove like <a maniac>
"""
