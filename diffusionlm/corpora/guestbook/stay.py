"""Rooms, atmosphere, cleanliness, location, prices: what houses of every kind are judged by."""

RULES = """
== thing room hotel
room@n; bed; bathroom; shower; view; balcony; mattress; suite; family room; carpet; towels@p; pillows@p; sheets@p
heating; air conditioning; wifi; television; bath; lift; pool; spa; sauna; gym; minibar; window; walls@p; curtains@p
twin room; attic room; single room; kettle; hallway; corridor; wardrobe; car park; garden; terrace; roof terrace
twin beds@p
== thing atmosphere
atmosphere; place; music; decor; setting; mood; lighting; seating; toilets@p; tables@p; interior; crowd
background music
== thing atmosphere pub
beer garden; open fire; live band; pub quiz; snug; jukebox; regulars@p; function room; big screen; dart board; bar
fireplace; terrace; karaoke
== thing atmosphere restaurant
dining room; terrace; view; open kitchen; courtyard; roof garden; booth; tablecloths@p; piano player; acoustics@p
chairs@p; private room
== thing atmosphere cafe
armchairs@p; garden; corner table; window seat; playlist; wifi; play corner; counter; bookshelves@p; sofas@p
mismatched chairs@p
== thing location
location; neighbourhood; street; view; area; car park; walk from the station
== thing price
price; prices@p; bill; cost; tickets@p; deposit; service charge; discount
== thing price hotel
room rate; parking fee; deposit; breakfast charge; cancellation fee; weekend rate
== thing price museum
entrance fee; ticket; audio guide; family ticket; admission; guidebook
== thing price tour
fare; ticket; price of the trip; group rate
== thing price shop
price tag; sale; delivery charge; refund; offers@p
== pred room praise
{was} {very} {comfy}; {was} {very} {comfy}; {was} {comfy} and {comfy}; {was} spotless
{was} a delight after a long drive; {was} better than in the pictures; {was} cleaned every day
had everything {we} needed; {was} exactly as described; made {us} feel at home; {was} quiet even at night
{was} spotlessly clean; exceeded {our} expectations; {was} {comfy}, {comfy} and warm
had been thought through to the last detail; {was} ready when {we} arrived; {was} modern and {comfy}
{was} a lovely surprise; {was} well kept
== pred room complaint
{was} {abit} {shabby}; {was} {abit} {shabby}; {was} {shabby} and {shabby}; smelled of damp; smelled of smoke
{was} not cleaned once; did not work; {was} broken; {was} still dirty from the last guests
looked nothing like the photos; {was} out of order for {number} days; kept {us} awake all night; {was} covered in dust
let in every noise; {was} stained; {was} freezing; {was} far too hot; had seen better days
{was} not ready until {hour}; made a strange noise; needed a good clean; {was} {shabby} and {shabby}
== pred room rude
{was} a <!shithole>; {was} a <dump>; {was} a filthy <dump>; {was} <disgusting>
{was} as <filthy> as the <pigs> who run it; stank like <!hell>; {was} <!crap>; {was} <garbage>
{was} a <!damn> disgrace; {was} designed by <an idiot>; {was} fit for <pigs>
{was} <!bloody> freezing because the owner is <a cheapskate>; {was} never cleaned by those <lazy slobs>
{was} broken and the <fool> at the desk laughed; {was} a joke, like the <clown> who calls himself manager
{was} <rubbish>; {was} <trash>; {was} <pathetic>; {was} a <!hell> of a mess
{was} cleaned by <a lazy idiot>, if at all
== pred atmosphere praise
{was} {very} {cosy}; {was} {very} {cosy}; {was} {cosy} and {cosy}; {was} just right for {occasion}
made {us} want to stay for hours; put everybody at ease; {was} perfect for a rainy day; made {our} day
{was} a big part of the charm; {was} {cosy} without being loud; {was} beautifully done; reminded {us} of home
had real character; {was} wonderful; could not have been nicer; created just the right mood; {was} ideal for families
{was} {cosy} from the moment {we} walked in
== pred atmosphere complaint
{was} {abit} {noisy}; {was} {abit} {noisy}; {was} {noisy} and {noisy}; {was} too loud to talk; {was} dead
left {us} cold; {was} in need of some love; {was} sticky; {was} freezing; {was} so loud that {we} left
spoiled the day; felt like a waiting room; {was} not what the website promised; {was} too {noisy} for {occasion}
{was} uncomfortable; {was} better a few years ago; gave {us} a headache; had not been cleaned for a while
{was} crowded and {noisy}; {was} not to {our} taste
== pred atmosphere rude
{was} <!crap>; {was} <garbage>; {was} <pathetic>; {was} a <!damn> joke; {was} ruined by <drunken idiots>
{was} <!bloody> awful; made it feel like a <dump>; stank like <!hell>; {was} spoiled by some <loudmouth>
{was} chosen by <a moron>; {was} as dead as the <brain> of the owner; {was} <rubbish>; {was} <disgusting>
{was} full of <idiots>; {was} loud as <!hell>; {was} perfect, if you are <a moron>
== pred location praise
{was} {very} {handy}; {was} {very} {handy}; {was} perfect for exploring the town; {was} {nearby} and easy to find
{was} close to everything; {was} quiet and {handy}; {was} ideal for the {landmark}; could not be better
{was} a real plus; {was} {handy}, just minutes from the {landmark}; {was} lovely in the evening
== pred location complaint
{was} {abit} {remote}; {was} {abit} {remote}; {was} hard to find; {was} next to a building site
{was} further from the {landmark} than promised; {was} noisy at night; {was} badly lit; {was} not safe for children
{was} full of traffic; {was} a long way from anything; {was} {remote} and {remote}; {was} spoiled by the road works
== pred location rude
{was} a <dump>; {was} a <!shithole>; {was} a <!hell> of a long way from anything; {was} picked by <an idiot>
{was} <!crap>; {was} described by <a liar>; {was} fit only for <rats>; {was} the <!arse> end of nowhere
== pred price praise
{was} {very} {cheap}; {was} {very} {cheap}; {was} fair for what {we} got; {was} a pleasant surprise
{was} lower than expected; {was} a bargain; left {us} smiling; {was} just {sum}, which is a bargain
{was} better than anywhere else in {town}; {was} clearly explained; {was} {cheap} for this quality
made it worth the trip; {was} more than fair
== pred price complaint
{was} {abit} {dear}; {was} {abit} {dear}; {was} wrong twice; {was} more than {we} had been told
{was} {dear} for what {we} got; came to {bigsum}, which is too much; {was} not on the website
{was} added without asking; {was} a nasty surprise; had gone up since last year; {was} never refunded
made {us} think twice; {was} {dear} compared with other places
== pred price rude
{was} a <!damn> rip-off; {was} <!bloody> robbery; {was} made up by <a crook>; {was} set by <greedy crooks>
{was} <stupid>; {was} <!crap>; {was} wrong because the cashier is <an idiot>; {was} <pathetic>
{was} a scam run by <thieves>; {was} plain theft by a bunch of <crooks>; {was} <!hell>
{was} an insult from <a greedy fool>; only {+make} sense to <a moron>
{was} higher than the <brain> of the manager can count; {was} <ridiculous>, you <crooks>
== comfy
comfortable; cosy; spacious; bright; clean; quiet; modern; warm; charming; airy; elegant; peaceful; luxurious; tidy
stylish; sunny; immaculate; well equipped; huge; pretty; inviting; restful
== shabby
shabby; cramped; noisy; dirty; dusty; cold; damp; tired; worn; dark; stuffy; draughty; lumpy; mouldy; faded; smelly
creaky; tiny; musty; outdated; gloomy; grubby; uncomfortable; broken
== cosy
cosy; relaxed; lively; friendly; warm; romantic; charming; welcoming; cheerful; homely; buzzing; intimate; stylish
calm; quirky; festive; elegant; traditional; happy; unpretentious; peaceful
== noisy
noisy; loud; gloomy; dull; cold; crowded; chaotic; cramped; shabby; dated; depressing; soulless; stuffy; tired
impersonal; dark; hectic; grubby; rowdy; draughty; tacky
== handy
central; convenient; handy; quiet; perfect; safe; pretty; lovely; pleasant; scenic; ideal; unbeatable; leafy; sunny
== remote
remote; noisy; inconvenient; far out; run down; busy; isolated; grim; dark; confusing; dull; industrial
== cheap
reasonable; fair; cheap; low; good; modest; very good; excellent; affordable; generous; unbeatable; sensible; honest
attractive
== dear
high; steep; unfair; excessive; outrageous; unreasonable; absurd; over the top; cheeky; ridiculous; painful; confusing
silly; unjustified
== evening
evening; night; afternoon; day; visit; stay
"""
