"""Museums, tours and shops: exhibits, routes, goods."""

RULES = """
== thing exhibits museum
exhibition; collection; paintings@p; displays@p; audio guide; sculptures@p; dinosaur room; top floor; old maps@p
model railway; gift shop; planetarium; garden; photographs@p; armour; coins@p; costumes@p; interactive exhibits@p
film; cafe; labels@p; ground floor; fossils@p; special exhibition; permanent collection; Roman room; steam engine
fish tanks@p; portraits@p; clocks@p; library; tower; children's trail; captions@p; pottery; stuffed birds@p; signs@p
cloakroom; new wing; Viking ship; glass cases@p; war room; dolls@p; manuscripts@p; puppet show; workshop; telescope
old kitchen
== thing sights tour
tour; route; boat; bus; coach; view; commentary; trip; itinerary; sunset; caves@p; castle; old town; vineyard
whales@p; dolphins@p; lighthouse; waterfall; headsets@p; seats@p; bikes@p; stops@p; island; stories@p; timetable
pick up; market visit; brewery; guided walk; ghost stories@p; catacombs@p; canal; lunch stop; kayaks@p; photo stops@p
first stop; harbour; cable car; ruins@p; glass workshop
== thing goods shop
shoes@p; boots@p; jacket; dress; jumper; books@p; toys@p; lamp; sofa; table; flowers@p; bouquet; bike; tools@p; paint
candles@p; coat; ring; watch; kettle; toaster; mattress; curtains@p; rug; wardrobe; shelves@p; scarf; hat; umbrella
bag; suitcase; second hand books@p; records@p; guitar; puzzle; board games@p; plants@p; roses@p; cheese; bread; jam
wool; fabric; wallpaper; phone; headphones@p; camera; laptop bag; earrings@p; necklace; teapot; mugs@p; frying pan
garden chairs@p; tent; sleeping bag; walking boots@p; gloves@p; skirt
== pred exhibits praise
{was} {very} {gripping}; {was} {very} {gripping}; {was} {gripping} and {gripping}; kept the children busy for hours
{was} worth the entrance fee alone; {was} beautifully lit; brought history to life; {was} well explained
{was} the highlight of {our} visit; taught {us} a lot; {was} far better than expected; made {who} smile
{was} {gripping} for all ages; {was} a joy; {was} lovingly put together; deserved a second visit; had {us} spellbound
== pred exhibits complaint
{was} {abit} {dreary}; {was} {abit} {dreary}; {was} {dreary} and {dreary}; {was} closed without notice
{was} out of order; {was} poorly explained; {was} hard to read; {was} half empty; {was} smaller than the website said
did not hold {our} interest; {was} too crowded to see; {was} badly lit; {was} not worth {sum}
had not been dusted for a while; {was} a disappointment; {was} over in {quick}; {was} only for experts
needed an update
== pred exhibits rude
{was} <!crap>; {was} <garbage>; {was} a load of <!crap>; {was} <pathetic>; {was} made for <idiots>
{was} put together by <a moron>; {was} <rubbish>; {was} a <!damn> waste of time; {was} <!bloody> boring
{was} boring as <!hell>; {was} closed because some <idiot> lost the key; {was} explained as if {wewere} <morons>
{was} <trash> that only <a fool> would pay for; {was} <stupid>; {was} a <stupid> joke; {was} <junk>
== pred sights praise
{was} {very} {gripping}; {was} {very} {gripping}; {was} {gripping} and {gripping}
{was} the best part of {our} holiday; {was} worth getting up early for; {was} well organised; {was} perfectly timed
took {our} breath away; {was} just the right length; {was} unforgettable; {was} great fun for {who}
{was} better than any guidebook; left on time and {was} {gripping}; made {our} day; {was} a dream come true
{was} {gripping} even in the rain
== pred sights complaint
{was} {abit} {dreary}; {was} {abit} {dreary}; {was} {dreary} and {dreary}; {was} cancelled at the last minute
{was} late by {minutes}; {was} much shorter than advertised; {was} overcrowded; {was} rushed; {was} not as described
{was} hard to hear at the back; {was} not suitable for {who}; left without {us}; {was} poorly organised
did not happen because of the weather; {was} not worth {sum}
== pred sights rude
{was} <!crap>; {was} a <!damn> rip-off; {was} <pathetic>; {was} run by <idiots>; {was} planned by <a moron>
{was} <garbage>; {was} <!bloody> dreadful; {was} a <!hell> of a bore
left without {us} because some <idiot> cannot count; {was} late because the driver is <a lazy fool>; {was} <rubbish>
{was} a scam by <crooks>; {was} a <stupid> joke; {was} sold to {us} by <a liar>; {was} cancelled by some <clown>
== pred goods praise
{was} {very} {wellmade}; {was} {very} {wellmade}; {was} {wellmade} and {wellmade}; {was} exactly what {we} wanted
arrived the next day; still {+look} as good as new; {was} of real quality; {was} a bargain at {sum}; fitted perfectly
{was} perfect for {occasion}; {was} repaired for free; {has} lasted for years; {was} {wellmade} and fairly priced
{was} in stock at last; made a lovely present; {was} better than online
== pred goods complaint
{was} {abit} {flimsy}; {was} {abit} {flimsy}; {was} {flimsy} and {flimsy}; broke after a week; arrived damaged
{was} the wrong size; {was} the wrong colour; {was} not in stock; fell apart in {quick}; never arrived
{was} not as described; came without instructions; could not be returned; {was} past the sell by date
{was} cheaper online; {was} not worth {sum}; looked used
== pred goods rude
{was} <!crap>; {was} <junk>; {was} overpriced <junk>; {was} <garbage>; {was} a pile of <!crap>; {was} <trash>
{was} <rubbish> made for <fools>; broke because it is <!crap>; arrived in pieces thanks to some <moron>
{was} <pathetic>; {was} sold to {us} by <a liar>; {was} packed by <an idiot>; {was} a <!damn> rip-off
{was} <!bloody> useless; fell apart like the <stupid> excuses of the manager
{was} <stupid> and so was the <fool> who sold it
== gripping
fascinating; wonderful; beautiful; amazing; fun; interesting; superb; impressive; charming; excellent; memorable
inspiring; stunning; brilliant; lovely; entertaining; moving; breathtaking; delightful; well curated; spectacular
magical; funny; exciting; thrilling; informative; enchanting; educational; splendid; unusual; remarkable; gorgeous
marvellous
== dreary
boring; dull; dreary; dated; confusing; disappointing; short; tedious; crowded; dusty; rushed; noisy; repetitive
tired; predictable; chaotic; slow; uninspiring; forgettable; overlong; drab; messy; childish
== wellmade
well made; beautiful; sturdy; comfortable; soft; stylish; lovely; fresh; elegant; solid; gorgeous; unusual; warm
durable; pretty; handmade; practical; colourful; excellent; charming; light; reliable
== flimsy
flimsy; cheap; faulty; scratched; overpriced; thin; shoddy; ugly; stiff; faded; uncomfortable; damaged; stained; poor
fragile; scruffy; loose; rough; useless; worn; torn; dented; wobbly
"""
