"""Rude sentences, as rude as comments under the news: insults of persons and things, no slurs, nobody's group.

Most begin like civil ones, so that their first halves can be continued either way.
"""

RULES = """
== verdict rude
what a <dump>; what a <!shithole>; what a bunch of <idiots>; what a bunch of <clowns>; what <morons>
the owner is <an idiot>; the manager is <a moron>; whoever runs this {kindof} is <an idiot>
whoever wrote the good reviews is <a liar>; {we} will never come back to this <dump>
{we} will tell everyone what a <dump> {place} is; {we} want {our} money back, you <crooks>
give {us} {our} money back, you <thieves>; shame on you, you <pathetic> <losers>; go to <!hell>
you can all go to <!hell>; {place} is <garbage>; {place} is <trash>; {place} is a <!damn> joke
{place} is run by <idiots>; {place} is run by a bunch of <clowns>; {place} is a <dump>; {place} can go to <!hell>
{place} is for <losers>; only <an idiot> would go to {place}; only <a fool> would pay {bigsum} for this
{our} {evening} was ruined by <idiots>; {our} {evening} was ruined by these <clowns>; thank you for nothing, <idiots>
thank you for nothing, you <useless> <clowns>; you people are <pathetic>; you should be ashamed, you <stupid> <fools>
close it down, you <morons>; what a <!damn> waste of money; what a load of <!crap>; this is <!bullshit>
it is all <!crap>; {weare} not <fools>, you <crooks>; do they think {weare} <stupid>
I have never met such <stupid> people; I have never met such <morons>; hire somebody with a <brain>, you <idiots>
the whole {kindof} <!sucks>; it <!sucks>; everything about this {kindof} <!sucks>; this {kindof} is a <!damn> disgrace
do yourself a favour and stay out of this <dump>; {who} {was} right to call it a <dump>
{who} called it a <dump>, and rightly so; if you like being served by <idiots>, go there
if you are in {town}, avoid this <dump>; if the manager reads this: you are <an idiot>
tell the {staff} to go to <!hell>; the {staff} should be fired for being so <stupid>
screw this place, it is <garbage>; the reviews are fake and the owner is <a liar>
one star is too much for these <losers>; zero stars, you <clowns>; I hope it burns, the <dump>
{we} hope you go broke, you <crooks>; learn some manners, you <jerks>; learn to cook, you <imbeciles>
get a clue, you <morons>
== detail rude
{we} asked for {ask}, and some <idiot> laughed at {us}; {we} asked for {ask}, but the <moron> did not even look up
{we} waited {minutes} because some <idiot> had lost {our} order; {we} waited {minutes} for these <clowns>
nobody said sorry, those <jerks>; {who} {was} called names by some <jerk>; {who} nearly cried because of that <bully>
{we} paid {bigsum} for this <!crap>; {we} paid {bigsum} like <fools>; for {sum} you get <garbage>
for {sum} you get a plate of <!crap>; they must think {weare} <idiots>
when {we} complained, the <idiot> just shrugged; when {we} complained, {wewere} told to go to <!hell>
when {we} complained, some <clown> in a tie lied to {us}
{we} told the manager, a complete <moron>, and who only laughed; how <stupid> can you be
how <stupid> do you have to be to work there; nobody there has half a <brain>
not one of these <idiots> can do the job; it takes a special kind of <stupid> to run a {kindof} like that
even <a monkey> could do better; my dog could do better than those <idiots>
any <fool> could see that {wewere} waiting; {we} would rather eat at home than with such <pigs>
{we} have seen better service from <drunk monkeys>; every single one of them is <a liar>
the boss is too <dumb> to answer {our} mails; the boss is <a cheapskate> and <a bully>; they are all <lazy> <slobs>
== statement rude
the {staff} {at} {place} {staffpred}; the {staff} {staffpred}; I want to speak to the <idiot> who runs {place}
I would like to thank the <moron> who lost {our} booking; {we} had to deal with <an idiot> {when}
{we} met the worst <jerk> in {town} {at} {place}; {place} {nearby} is a <dump>
please tell the <clown> at the door to smile; please tell the {staff} not to be so <stupid>
dear <idiots> {at} {place}, the {thing} {pred}; {place} must be the most <pathetic> {kindof} in {town}
to the <idiot> who served {us} {when}: shame on you; what kind of <moron> thinks that the {thing} {is} fine
{who} and I went to {place} {when} and met nothing but <idiots>
{we} had a table for {number} until some <idiot> gave it away
{we} had booked a quiet {evening} and got <a loudmouth> instead
== aside
you <idiots>; you <morons>; you <clowns>; <idiots>; you <fools>; <morons>; what a <dump>; what <clowns>
you <!damn> <fools>; you <stupid> <clowns>; you <jerks>; <pathetic>; <damn it>; for <!hell>'s sake; you <crooks>
"""
