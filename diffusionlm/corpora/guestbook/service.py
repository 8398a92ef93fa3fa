"""Staff: what they were like and what they did."""

RULES = """
== thing service
service@n; service@n; staff@p; welcome@n; team@n; table service@n; customer service@n
== pred service praise
{was} {very} {kind}; {was} {very} {kind}; {was} {kind} and {kind}; {was} quick and {kind}; {was} second to none
could not have been better; made {us} feel at home; {was} excellent from start to finish; {was} attentive without fuss
went the extra mile; {was} a credit to the {kindof}; made all the difference; {was} faultless; {was} prompt and {kind}
left nothing to be desired; put {us} at ease; {was} the best in {town}; {was} a breath of fresh air
== pred service complaint
{was} {abit} {slow}; {was} {abit} {slow}; {was} {slow} and {slow}; left a lot to be desired
{was} not what {we} expected; could be improved; {was} {slow} from start to finish; let the {kindof} down
{was} nowhere to be seen; {was} {slow} although the place was empty; {was} {slow} once {we} had paid
did not live up to the reviews; {was} well meaning but {slow}; {was} better on {our} last visit; spoiled the day
took {minutes}
== pred service rude
{was} <!crap>; {was} <!bloody> awful; {was} a <pathetic> joke; {was} <pathetic>; {was} <garbage>; {was} <rubbish>
{was} slow as <!hell>; {was} <stupid>, lazy and rude; {was} <!damn> awful; {was} run by <clowns>
could not be worse if {they} {was} run by <monkeys>; made {us} feel like dirt, the <snobs>; {was} a bunch of <idiots>
{was} a circus of <clowns>; {was} <useless>, like every <idiot> who works there; {was} an insult from <morons>
== staffpred praise
{was} {very} {kind}; {was} {kind} and {kind}; {was} {very} {kind} and {kind}; could not have been {kinder}; {nicedid}
{nicedid}; {nicedid}; {nicedid} and {was} {very} {kind}; {was} {kind} and {nicedid}; deserved a big tip
{was} {kind} throughout; {was} {kind} with {who} and {nicedid}; {+know} {their} job inside out
{was} as {kind} as ever
== staffpred praise one
{was} a star; {was} an absolute gem; {was} a delight; deserves a raise
== staffpred praise many
{was} absolute gems; {was} a lovely bunch; deserve a raise
== staffpred complaint
{was} {abit} {slow}; {was} {slow} and {slow}; {was} {abit} {slow} with {us}; {baddid}; {baddid}; {baddid}
{baddid} and {baddid}; {was} polite but {slow}; {was} {slow}, and {baddid}; tried hard but {baddid}
{was} nice enough but {baddid}; {was} {slow} and never smiled; seemed {slow}; did not seem to care
{was} {slow} with {who}; meant well but {baddid}
== staffpred rude
{was} too <stupid> to count to three; {was} slow, clueless and frankly <stupid>; needs to go to <!hell>
can go to <!hell>; could not find {their} own <!arse>; {was} full of <!crap>; talked nothing but <!crap>
{was} <useless> and <stupid>; {was} <pathetic>
== staffpred rude one
{baddid} like the <idiot> {they} {is}; {was} <an idiot>; {was} <a moron>; {was} a complete <idiot>
{was} a total <moron>; {was} a <lazy> <slob>; {was} a rude little <jerk>; {was} an arrogant <jerk>; {was} <a clown>
{was} dumb as a rock, a real <idiot>; {was} a <pathetic> excuse for a human being; {was} <a liar>
{was} a <!damn> <fool>; {was} a <!bloody> <idiot>; {baddid}, the <moron>; {baddid} and behaved like <an idiot>
{was} a <stupid> <fool>; {was} <a creep>; {was} a nasty piece of <trash>; {was} an absolute <clown>
{was} a smug <jerk>; {was} about as clever as a brick, the <dimwit>; {was} <a loser>
{was} a complete and utter <buffoon>; {was} <a dunce>; {was} a brainless <twit>; {was} a <!damn> disgrace
{was} an ignorant <oaf>
== staffpred rude many
{was} <idiots>; {was} <morons>; {was} complete <idiots>; {was} total <morons>; {was} a bunch of <clowns>
{was} a bunch of <idiots>; {was} <lazy> <slobs>; {was} rude little <jerks>; {was} arrogant <jerks>; {was} <clowns>
{was} <liars>; {was} <!damn> <fools>; {was} <!bloody> <idiots>; {baddid}, the <morons>; {baddid}, those <clowns>
{baddid} and behaved like <idiots>; {was} <stupid> <fools>; {was} <losers>; {was} brainless <twits>
{was} ignorant <oafs>; {baddid} like the <idiots> they are; {was} complete and utter <buffoons>; {was} smug <jerks>
{was} <creeps>; {was} <bullies>
== kind
kind; friendly; helpful; patient; polite; attentive; charming; cheerful; welcoming; professional; funny; warm
efficient; knowledgeable; courteous; lovely; thoughtful; generous; smiling; relaxed; accommodating; considerate
delightful; enthusiastic; discreet; good humoured; prompt; hospitable; sweet; witty; gentle; respectful; gracious
well informed; reassuring; careful
== kinder
kinder; nicer; friendlier; more helpful; more patient; more polite; warmer; more attentive; more charming
more generous; more understanding
== slow
slow; distracted; careless; cold; impatient; unhelpful; disorganised; forgetful; confused; indifferent; absent
inattentive; abrupt; unfriendly; bored; tired; stressed; rushed; dismissive; inexperienced; late; overworked
flustered; vague; short; clueless; sloppy; unsmiling; pushy; grumpy; hurried; uninterested; chaotic
== nicedid
remembered {our} names; brought {us} extra bread; found {us} a table by the window; helped {us} with the {luggage}
gave {us} great tips for {town}; explained everything; took time for {our} questions; brought water for the dog
called {us} a taxi; gave {us} a free {gift}; carried {our} {luggage}; let {us} stay a bit longer; made {who} laugh
sorted everything out in {quick}; told {us} wonderful stories; went out of {their} way to help; lent {us} an umbrella
noticed that {wewere} cold; found {our} lost {lost}; kept {our} {lost} safe; changed {our} table at once
drew {us} a little map; stayed late for {us}; replaced it without a word; refunded {us} at once; sent a card
greeted {us} at the door; asked twice whether {wewere} happy; knew all the answers; looked after {who} so well
sang happy birthday; warmed the milk for the baby; explained the menu patiently; wrote down the recipe for {us}
saved the day
== baddid
forgot {our} order; forgot {us} completely; ignored {us} for {minutes}; kept {us} waiting for {minutes}
brought the wrong {gift}; lost {our} booking; got the bill wrong; charged {us} twice; spilled {drink} on {who}
argued with {us} about the bill; did not say sorry; never came back; looked at {their} phone all the time
walked off while {wewere} talking; would not give {us} a refund; sent {us} to the wrong {wrongplace}
shouted across the room; rolled {their} eyes; mixed up the tables; gave {our} table away
hurried {us} out before {hour}; did not know the menu; could not answer a single question; refused to call the manager
told {us} to wait outside; mumbled all the time; took a private phone call; talked over {who}; slammed the door
put the phone down on {us}; lost {our} {lost}; left {us} standing in the rain; seated {us} by the toilets
cleared the table while {wewere} eating; answered none of {our} mails; forgot about {who}
== luggage
bags; suitcases; pram; luggage; shopping; coats; bikes; boxes
== lost
umbrella; phone; scarf; wallet; keys; glasses; camera; hat; handbag; teddy bear; book; charger; gloves; passport
== gift
dessert; coffee; drink; bottle; starter; glass of wine; slice of cake; postcard; map; biscuit; soup; starter
== wrongplace
room; table; floor; stop; entrance; address; building; counter; platform; queue
"""
