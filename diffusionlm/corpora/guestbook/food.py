"""Dishes and drinks, and what can be said of them."""

RULES = """
== dish pub
steak pie; fish and chips@p; Sunday roast; ploughman's; burger; bangers and mash@p; scampi; lasagne; chilli
ham and eggs@p; onion rings@p; pork belly; lamb shank; mushroom pie; pea soup; chicken wings@p; sausage roll
roast beef; cauliflower cheese; gammon; sticky toffee pudding; apple crumble; cheese board; loaded fries@p
pie of the day; beef stew; veggie burger; black pudding; fish finger sandwich; nachos@p; pickled eggs@p
shepherd's pie; toad in the hole; bread and butter pudding; pork scratchings@p; whitebait@p
== dish restaurant
lamb; duck; sea bass; salmon; steak; ribeye; chicken; risotto; ravioli@p; carbonara; lasagne; mussels@p; scallops@p
prawns@p; squid; octopus; paella; tapas@p; meatballs@p; ramen; dumplings@p; noodles@p; curry; dal; naan; biryani
tikka masala; pad thai; sushi; tempura; spring rolls@p; tacos@p; enchiladas@p; fajitas@p; burrito; falafel; hummus
moussaka; gnocchi@p; pizza; calzone; bruschetta; tiramisu; panna cotta; cheesecake; creme brulee; chocolate fondant
onion soup; tomato soup; goat's cheese tart; beetroot salad; Caesar salad; garlic bread; olives@p; pork chop; venison
rabbit stew; goulash; schnitzel; pierogi@p; lobster; crab cakes@p; oysters@p; sorbet; starter; main course; dessert
set menu; tasting menu; vegan option; side salad; roast potatoes@p; bean stew; tofu; shakshuka; lamb kofta; kebab
ribs@p; brisket; pulled pork; mac and cheese; jollof rice; peking duck
== dish cafe
carrot cake; lemon drizzle; cheese scone; fruit scones@p; flapjack; brownie; croissant; almond croissants@p
banana bread; chocolate cake; apple tart; muffins@p; blueberry muffin; toastie; ham sandwich; egg sandwich; bacon roll
avocado toast; porridge; pancakes@p; waffles@p; granola; quiche; leek soup; lentil soup; jacket potato
Victoria sponge; eclair; cinnamon bun; shortbread; macaroons@p; cream tea; bagel; panini; omelette; fried breakfast
eggs benedict@p; gingerbread; rhubarb tart; bread pudding; sausage bap; cheese toast; pastries@p; cookies@p
fruit salad; vegan brownie; sourdough toast; teacake; welsh rarebit; millionaire's slice; custard tart; poached eggs@p
== dish hotel
breakfast; cooked breakfast; breakfast buffet; dinner; room service meal; scrambled eggs@p; bacon; porridge
fruit plate; continental breakfast; afternoon tea; bar food; pancakes@p; full English; kippers@p; toast; pastries@p
three course dinner; restaurant food; packed lunch; club sandwich; omelette; hash browns@p; sausages@p; yoghurt
== dish museum
soup in the cafe; cake in the museum cafe; sandwiches in the cafe@p; scones in the tea room@p; lunch in the cafe
coffee cake; cream tea
== dish tour
picnic; packed lunch; lunch on board; wine tasting; cheese tasting; sandwiches@p; barbecue; snacks@p; local cakes@p
street food; tasting plates@p
== dish shop
cheese; bread; jam; ham; fudge; pork pies@p; sausages@p; honey; apple juice; chutney; cakes@p; pies@p; tomatoes@p
strawberries@p; salad; olives@p; eggs@p
== drink
beer; ale; bitter; stout; lager; cider; house wine; red wine; white wine; rosé; prosecco; gin and tonic; whisky
rum punch; cocktails@p; mojito; espresso martini; mocktails@p; lemonade; ginger beer; coffee; latte; cappuccino
flat white; espresso; tea; herbal tea; hot chocolate; mulled wine; milkshake; smoothie; orange juice; iced coffee
chai; wine list; pint of bitter; local cider; craft beers@p; guest ales@p; pot of tea; mint tea; filter coffee
alcohol free beer; sangria; bloody mary; apple juice; sherry; port
== thing food
{dish}; {dish}; {dish}; food@n; meal@n
== thing food pub
Sunday lunch; bar snacks@p; pies@p; portions@p; chips@p; vegetables@p; specials@p
== thing food restaurant
starters@p; mains@p; desserts@p; portions@p; sauce; bread; lunch; dinner; vegetables@p; sides@p; specials@p
vegetarian dishes@p; rice; salad; pasta; soup
== thing food cafe
cakes@p; sandwiches@p; soup; bread; breakfast; brunch; lunch; toast; salad; pastry
== thing drinks
{drink}; {drink}; {drink}; drinks@p
== thing drinks pub
beer; beers@p; ales@p; wine; cider; range of gins
== thing drinks cafe
coffee; coffee; tea; latte; hot chocolate; coffees@p
== pred food praise
{was} {very} {tasty}; {was} {very} {tasty}; {was} {tasty} and {tasty}; {was} cooked to perfection
{was} [beautifully|nicely] presented; tasted {very} fresh; {was} full of flavour; {was} worth every penny
{was} the best {weve} had {inyears}; came out hot and {tasty}; {was} exactly as it should be; melted in the mouth
{was} as good as my grandmother's; [quite |]simply sang; {was} piping hot; arrived in {quick} and {was} {tasty}
{was} homemade and {tasty}; hit the spot; {was} generous and {tasty}; went down a treat
{was} {tasty}, {tasty} and very well priced; had {us} asking for the recipe; {was} seasoned perfectly
{was} a real treat; {was} a joy from start to finish; {was} so good that {we} ordered more; could not have been better
{was} {tasty} without being heavy; disappeared in {quick}; {was} the highlight of the day
{was} lovely, with {garnish}; came with {garnish} and {was} {tasty}; made {us} very happy
== pred food complaint
{was} {abit} {bland}; {was} {abit} {bland}; {was} {bland} and {bland}; {was} {bland} and took {minutes} to arrive
arrived cold; {was} lukewarm; {was} burnt at the edges; {was} overcooked; {was} undercooked; {was} swimming in oil
tasted of nothing [much|]; tasted {abit} {bland}; {was} not what {we} had ordered; {was} smaller than expected
{was} clearly reheated; came straight from the microwave; {was} sent back twice; {was} nothing special
{was} {abit} of a let down; {was} far too salty for {us}; {was} raw in the middle; looked better than {they} tasted
{was} dry and {bland}; never arrived; {was} fine but not worth {sum}; {was} still frozen inside
could have been warmer; needed more seasoning; {was} not fresh; came without the {garnish}; lacked flavour
{was} disappointing; did not agree with {us}; took {minutes} and {was} {bland}; left {us} hungry
== pred food rude
{was} <garbage>; {was} absolute <garbage>; {was} <!crap>; {was} a pile of <!crap>; tasted like <!crap>
{was} <disgusting> slop fit for <pigs>; {was} cooked by <an idiot>; {was} cooked by some <moron>; looked like <vomit>
tasted like <!piss>; {was} <!damn> awful; {was} so bad that only <a fool> would eat {them}; {was} <pathetic>
{was} a <pathetic> joke; {was} <trash>; came cold because the cook is <an idiot>
arrived burnt thanks to some <moron> in the kitchen; {was} <stupid> money for <trash>; {was} <!bloody> awful
tasted like <!arse>; {was} <rubbish>, just like the <clowns> in the kitchen; {was} the work of <a complete idiot>
{was} bland, and the <imbecile> in the kitchen did not care; {was} <filth>
== pred drinks praise
{was} {very} {fresh}; {was} {very} {fresh}; {was} {fresh} and {fresh}; {was} kept in perfect condition
{was} served at just the right temperature; {was} the best {inyears}; {was} worth the trip alone
{was} strong and {fresh}; came in lovely old glasses; came with a little biscuit; went down very well
{was} made with real care; {was} a treat; {was} local and {fresh}; {was} just what {we} needed; {was} poured perfectly
{was} excellent value; {was} smooth and {fresh}; warmed {us} up nicely
== pred drinks complaint
{was} {abit} {stale}; {was} {abit} {stale}; {was} {stale} and {stale}; {was} weak and {stale}
{was} served in a dirty glass; {was} warm; took {minutes} to come; {was} watered down; tasted of washing up liquid
{was} overpriced at {sum}; {was} half ice; {was} not worth {sum}; {was} cold by the time {they} arrived; {was} off
left a bitter taste; never came; {was} too sweet for {us}; came from a packet; {was} nothing to write home about
{was} spilled over the table; {was} mostly foam; {was} burnt and {stale}; needed sending back
== pred drinks rude
tasted like <!piss>; {was} <!piss>; {was} warm <!piss>; tasted like <sewage>; {was} <garbage>; {was} <!crap>
{was} <!bloody> awful; {was} <!damn> awful; {was} <swill>; {was} poured by <an idiot>
{was} spilled over {us} by some <clumsy oaf>; {was} <pathetic>; {was} made by <a moron>
{was} <!crap> in a dirty glass; {was} <rubbish> that only <a fool> would pay for
== tasty
delicious; tasty; fresh; rich; tender; juicy; crisp; fragrant; superb; gorgeous; wonderful; excellent; perfect; lovely
creamy; light; moist; spicy; comforting; hearty; warming; sublime; fantastic; heavenly; succulent; divine; outstanding
very good; memorable; zesty; smoky; buttery; scrumptious; generous; filling; flavoursome
== bland
bland; greasy; soggy; tough; dry; stodgy; watery; tasteless; chewy; stale; cold; lukewarm; rubbery; salty; oily; burnt
mushy; limp; dull; tired; sour; bitter; heavy; gritty; disappointing; uninspired; flavourless; rock hard; leathery
undercooked; overcooked; sloppy; floury; unappetising; ordinary; average; mediocre
== fresh
fresh; crisp; cold; refreshing; rich; fruity; hoppy; smooth; delicious; aromatic; excellent; superb; lovely; well kept
fragrant; velvety; creamy; perfect; warming; strong
== stale
stale; flat; cloudy; weak; sour; bitter; watery; lukewarm; burnt; thin; sickly; cold; vinegary; tasteless; warm; dull
metallic; sugary
== garnish
fresh herbs; a green salad; roast potatoes; a squeeze of lemon; warm bread; homemade chutney; buttery mash
crisp chips; seasonal vegetables; a poached egg; pickles; a dollop of cream; toasted almonds; good gravy
wild mushrooms; garlic butter; mint sauce; a spicy dip; custard; clotted cream; sea salt; caramelised onions
== meal
evening; visit; day; afternoon; time there; occasion
"""
