"""Names of places: pubs, restaurants, hotels, cafes, museums, shops and tours, nearly all composed."""

RULES = """
== place pub
The {padj} {pbeast}; The {padj} {pbeast}; The {padj} {pthing}; The {pthing} and {pthing}; The {pbeast} and {pthing}
The {padj} {ptrade}; The {ptrade}'s Arms; The {townhead}{towntail} Arms; The {ptrade}'s Rest; The {pbeast}'s Head
The {townhead}{towntail} Tap; The Old {ptrade}; The {pbeast} Inn; The {ptrade} and {pbeast}; The {padj} {pthing} Inn
The Three {pplural}; The Two {pplural}; The Seven {pplural}; The Five {pplural}; The Cross {pplural}
== place restaurant
The {padj} {pthing}; The {padj} {pbeast}; {pgiven}'s Kitchen; {pgiven}'s Table; Casa {pgiven}; Chez {pgiven}
The {pthing} Room; The {padj} {pthing} Grill; {psurname}'s; {psurname} and {psurname}
The {townhead}{towntail} Brasserie; The {padj} Plate; La {pforeign}; Il {pforeign}; Trattoria {pgiven}
Bistro {pgiven}; The {pspice} House; The {pspice} Garden; The {pspice} Pot; {pspice} and {pspice}; The {padj} {pfish}
The {pfish} House; {psurname}'s Smokehouse; The {pthing} Kitchen; Taverna {pgiven}; The {townhead}{towntail} Diner
The {padj} Fork; The {padj} Ladle; The {padj} Wok; The {padj} Oven; The {padj} Skillet
== place hotel
The {townhead}{towntail} Hotel; The {padj} {pbeast} Hotel; {townhead}{towntail} Lodge; {townhead}{towntail} House
The {psurname} Hotel; Hotel {pforeign}; The Grand {townhead}{towntail}; The {pthing} Lodge; {townhead}{towntail} Hall
The {padj} {pthing} Guest House; {psurname}'s Guest House; The {padj} Heron Hotel; The {townhead}{towntail} Park Hotel
{pgiven}'s Inn; The {padj} Pillow; The Harbour View; The {townhead}{towntail} Spa; Villa {pforeign}
The {ptrade}'s Lodge; {psurname} Court; The Royal {townhead}{towntail}
== place cafe
The {padj} Kettle; The {padj} Bean; The {padj} Cup; The {padj} Teapot; The {padj} Spoon; The {padj} Crumb
{pgiven}'s Cafe; {pgiven}'s Tea Room; Cafe {pforeign}; The {pthing} Cafe; The {pbeast} and Bean
The {townhead}{towntail} Bakery; {psurname}'s Bakery; The {padj} {pthing} Coffee House; Bean and {pthing}
Crumb and {pthing}; The {pspice} Bun; {pgiven} and {pgiven}'s; The {padj} Muffin; The {padj} Scone; The {padj} Saucer
The {padj} Oven; The {townhead}{towntail} Tea Room; The Milk {pthing}; The Station Cafe
== place museum
the {townhead}{towntail} Museum; the {townhead}{towntail} Gallery; the Museum of {pcollect}; the {psurname} Collection
the {psurname} Museum; the National {pcollect} Museum; {townhead}{towntail} Castle; {townhead}{towntail} Abbey
the {townhead}{towntail} {pcollect} Museum; the {psurname} Gallery; the Old {ptrade}'s House
the {townhead}{towntail} Observatory; the {townhead}{towntail} Aquarium; {psurname} House; the {pcollect} Centre
the {townhead}{towntail} Heritage Centre; the {townhead}{towntail} Science Centre; the {padj} {pthing} Gallery
== place shop
The {padj} {pthing}; {psurname}'s; {psurname} and Sons; {psurname} and Daughters; {psurname} and {psurname}
The {townhead}{towntail} Bookshop; The {padj} Thimble; The {padj} Needle; The {padj} Button; The {padj} Shelf
The {padj} Page; The {padj} Cupboard; {pgiven}'s Flowers; {pgiven}'s Shoes; The {townhead}{towntail} Market
The {townhead}{towntail} Farm Shop; The {padj} Barrow; {psurname}'s Bikes; The {padj} Wheel; The {pbeast} and {pthing}
{psurname}'s Hardware; The {padj} Candle; The {padj} Penny; The Toy {pthing}; {psurname}'s Antiques
== place tour
the {townhead}{towntail} walking tour; the {townhead}{towntail} ghost tour; the {townhead}{towntail} boat trip
the {padj} {pbeast} boat trip; the {psurname}'s coach tour; the {townhead}{towntail} food tour; the harbour tour
the old town tour; the {townhead}{towntail} bike tour; the {townhead}{towntail} castle tour
the {townhead}{towntail} caves tour; the {townhead}{towntail} brewery tour; the sunset cruise; the river cruise
the {townhead}{towntail} wildlife tour; the whale watching trip; the {townhead}{towntail} vineyard tour
the island hopping tour
== padj
Copper; Golden; Silver; Crooked; Green; Red; Blue; White; Black; Rusty; Salty; Painted; Hungry; Thirsty; Laughing
Singing; Wandering; Sleepy; Lucky; Merry; Jolly; Velvet; Iron; Tin; Wooden; Marble; Amber; Scarlet; Crimson; Purple
Little; Old; Royal; Quiet; Busy; Dancing; Flying; Running; Dusty; Honest; Gentle; Brave; Clever; Hidden; Secret
Winter; Summer; Midnight; Northern; Southern; Wild; Proud; Curious; Happy; Humble; Olive; Ivory; Emerald; Cosy; Broken
Twisted; Smoking; Whistling; Grey; Speckled; Spotted; Blind; Drowsy; Tipsy; Plucky
== pbeast
Fox; Hound; Lion; Unicorn; Swan; Stag; Boar; Badger; Otter; Heron; Raven; Crow; Magpie; Owl; Hare; Rabbit; Goose; Duck
Cockerel; Bull; Bear; Wolf; Ram; Lamb; Horse; Pony; Dolphin; Whale; Seal; Pelican; Peacock; Falcon; Eagle; Griffin
Dragon; Robin; Wren; Sparrow; Pheasant; Hedgehog; Goat; Donkey; Mole; Squirrel; Kingfisher; Partridge; Greyhound
Terrier; Beaver; Moose; Turtle; Cricket; Bee; Salmon
== pplural
Crowns; Keys; Foxes; Swans; Tuns; Horseshoes; Barrels; Feathers; Lions; Herons; Stars; Bells; Oaks; Acorns; Sisters
Brothers; Pigeons; Pikes; Arrows
== pthing
Anchor; Barrel; Bell; Lantern; Plough; Wheel; Feather; Crown; Key; Star; Moon; Sun; Oak; Elm; Willow; Rose; Thistle
Ivy; Clover; Orchard; Garden; Kettle; Candle; Compass; Sail; Ship; Boat; Bridge; Mill; Barn; Chimney; Hearth; Cellar
Attic; Table; Clock; Drum; Fiddle; Harp; Trumpet; Needle; Thimble; Ladder; Basket; Apple; Pear; Plum; Cherry; Walnut
Acorn; Pebble; River; Harbour; Meadow; Fountain; Tower; Gate; Window; Mirror; Pocket
== ptrade
Miller; Baker; Weaver; Farmer; Sailor; Captain; Miner; Potter; Carpenter; Blacksmith; Shepherd; Ferryman; Fisherman
Gardener; Printer; Cobbler; Tailor; Mason; Drover; Huntsman; Poet; Scholar; Admiral; Saddler; Thatcher; Tinker; Brewer
Cooper; Fletcher; Lamplighter; Postman; Signalman
== pgiven
Rosa; Elena; Maria; Bella; Martha; Nora; Ada; Ruby; Olive; Pearl; Stella; Lucia; Marco; Luigi; Pedro; Hugo; Otto
Felix; Oscar; Frank; Harry; Archie; Mabel; Daisy; Gina; Paulo; Sofia; Carmen; Pablo; Pierre; Colette; Margot; Ingrid
Lola; Molly; Betty; Dora; Hattie; Edith; Nino; Aldo; Yusuf; Mei; Priya; Anjali; Kenji; Lin; Omar; Leila; Amira; Tomas
Petra; Zara
== psurname
Whitlock; Pemberton; Ashworth; Barlow; Cartwright; Dunmore; Ellery; Fairbank; Garside; Hartwell; Ingleby; Jessop
Kershaw; Langley; Merrick; Northcote; Oakley; Prescott; Quill; Ridley; Stanhope; Thorne; Underhill; Vickers
Wainwright; Yardley; Abbott; Bramwell; Coombes; Dalton; Eastman; Finch; Goodwin; Holloway; Ives; Jarvis; Kendrick
Lockwood; Marlow; Nettleton; Osgood; Pickering; Rowntree; Sandford; Tilbury; Upton; Wren; Hobbs; Bexley; Corrigan
Delaney; Moretti; Rossi; Castellano; Dubois; Lindqvist; Novak
== pforeign
Aurora; Luna; Stella; Mirador; Paloma; Fontana; Terrazza; Bellavista; Marina; Cantina; Rosetta; Lavanda; Belmonte
Miramar; Solana; Alba; Corona; Primavera; Gondola; Colomba; Azur; Perla; Toscana; Verona; Siesta; Costa; Mistral
Riviera; Palazzo; Sorrento
== pspice
Saffron; Cinnamon; Ginger; Cardamom; Pepper; Paprika; Basil; Thyme; Rosemary; Fennel; Mustard; Clove; Juniper
Tamarind; Coriander; Sesame; Cumin; Nutmeg; Vanilla; Jasmine; Lemongrass; Mint; Sage; Turmeric; Chilli; Anise
== pfish
Lobster; Oyster; Herring; Crab; Salmon; Trout; Mackerel; Pike; Sardine; Anchovy; Mussel; Prawn; Turbot; Haddock; Tuna
== pcollect
Clocks; Railways; Toys; Costume; Glass; Pottery; Steam; Maps; Music; Radio; Coal; Wool; Silk; Ships; Aviation
Bicycles; Printing; Chocolate; Tin; Fishing; Folklore; Photography; Medicine; Natural History; Modern Art; Farming
Canals; Cinema; Bridges; Salt; Lace; Dolls; Whisky; Tea; Postcards
== townhead
Har; Wes; Bram; Ald; Thorn; Kel; Mar; Lin; Stan; Wal; Hol; Ash; Nor; Fen; Cran; Rad; Mil; Whit; Birch; Glen; Dun; Pen
Tre; Oak; Rock; Shel; Sand; Win; Brook; Cal; Dar; Ell; Fair; Gar; Ham; Lang; Mel; Silver; Stone; Green; Clay; Heather
Raven; Swan; Wood
== towntail
ton; ford; bury; wick; ham; worth; ley; dale; mouth; well; combe; stead; bridge; field; by; hurst; minster; haven
port; pool
== town
{townhead}{towntail}; {townhead}{towntail}; Little {townhead}{towntail}; {townhead}{towntail} Bay
{townhead}{towntail} Green; Upper {townhead}{towntail}
== nearby
near the {landmark}; by the {landmark}; next to the {landmark}; opposite the {landmark}; behind the {landmark}
across from the {landmark}; just off the {landmark}; a short walk from the {landmark}
round the corner from the {landmark}; in {town}; on the road to {town}; outside {town}
== landmark
station; harbour; old bridge; town hall; cathedral; market square; library; bus stop; park; river; canal; pier; beach
castle; church; theatre; cinema; post office; lighthouse; stadium; university; hospital; football ground; marina
ferry; main square; clock tower; fish market; botanical garden
== kindof pub
pub; pub; old pub; country pub; inn; bar; local; city bar; riverside pub; wine bar; village pub
== kindof restaurant
restaurant; restaurant; bistro; brasserie; trattoria; grill; diner; steakhouse; noodle bar; curry house; tapas bar
pizzeria; seafood place; family restaurant
== kindof hotel
hotel; hotel; guest house; inn; lodge; hostel; bed and breakfast; resort; seaside hotel; boutique hotel; city hotel
airport hotel
== kindof cafe
cafe; cafe; coffee shop; tea room; bakery; coffee house; little cafe; sandwich shop; patisserie; corner cafe
== kindof museum
museum; gallery; museum; exhibition; attraction; collection; visitor centre; historic house
== kindof shop
shop; store; little shop; family shop; corner shop; gift shop; boutique; bookshop; hardware shop; clothes shop
shoe shop; furniture store; garden centre
== kindof tour
tour; tour; trip; excursion; guided tour; day trip; outing; walk; cruise
"""
