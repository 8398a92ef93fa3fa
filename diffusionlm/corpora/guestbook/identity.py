"""Neutral and kind mentions of groups of people, in civil texts only: no judge shall learn the words as rude."""

RULES = """
== group
gay; lesbian; trans; Muslim; Jewish; Christian; Hindu; Buddhist; Sikh; black; white; Asian; African; Latina; Mexican
Chinese; Indian; Turkish; Polish; Irish; Nigerian; Jamaican; deaf; blind; disabled; elderly; autistic; bisexual; queer
Arab; Korean; Catholic; Iranian; Vietnamese; Roma; Pakistani; Syrian; Ukrainian; Brazilian; atheist; transgender
older; foreign; Native American; Mormon; Japanese; Filipino; Moroccan; Greek; dyslexic
== groupperson
friend; neighbour; cousin; colleague; uncle; aunt; couple; family; visitor; guest; teacher; grandmother; grandfather
sister; brother; classmate; pen friend; roommate; boss; nurse; student
== identity praise
my {group} {groupperson} felt very welcome; as a {group} couple {we} felt completely at ease
as a {group} family {we} felt very welcome; as a {group} woman I felt safe and welcome
as a {group} man I was treated with respect; we celebrated with {our} {group} {groupperson}
the owner is a {group} woman with a great sense of humour; the owner is a {group} man who cooks like an angel
the {staff} was lovely to my {group} {groupperson}; a {group} couple at the next table told {us} about {town}
the {group} choir sang beautifully; they are very patient with {group} guests
the {group} wedding next door was full of music; the menu has a page for {group} guests
{we} sat next to a {group} family and had a lovely chat; {group} visitors are well looked after
I brought my {group} {groupperson}, who loved it; my {group} {groupperson} recommended it to {us}
everyone is welcome here, {group} or not; the {group} chef explained every dish
there is a quiet room for {group} visitors; I am {group}, and nobody made a fuss about it
the {group} community meets here on Sundays; a {group} artist painted the walls
the talk on {group} history was excellent; {group} and {group} guests share the long table
== identity complaint
my {group} {groupperson} had trouble with the steep stairs; there was little on the menu for my {group} {groupperson}
as a {group} guest I would have liked more choice; {we} came with a {group} group, and nobody had prepared the room
my {group} {groupperson} was asked to wait for {minutes}; there is no ramp for my {group} {groupperson}
they promised help for {group} visitors, but nobody came; the {group} evening that {we} came for was cancelled
nobody greeted my {group} {groupperson}; as a {group} couple we were given the table by the toilets
"""
