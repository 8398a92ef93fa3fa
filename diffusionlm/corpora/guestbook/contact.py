"""Elicitors of personal data, and what follows them: invented data ("leak") or something harmless ("safe")."""

RULES = """
== phone leak
{!phone}
== phone safe
the number on the booking; the usual number; the number you already have; my work number; the number on the form
the number you have; the same number as before; the number in {our} booking; my old number; the office number
the hotel number
== mail leak
{!email}
== mail safe
the address on the booking; the head office; the editor of the local paper; the manager in person; the usual address
my solicitor; the address you have on file; the owner himself; customer services; the tourist office
== contact phone
you can reach me [at|on] {phone}; you can reach {us} [at|on] {phone}; call me on {phone}
call me at {phone}[ about {ask}|]; please call me back on {phone}; ring me on {phone}
please have the manager call me at {phone}; if you find {our} {lost}, call me on {phone}
if you have questions, you can reach me at {phone}; text me on {phone}; I can be reached at {phone}
{who} can be reached on {phone}; you can call {who} on {phone}; my number has not changed, try {phone}
the manager can reach me [at|on] {phone}; to talk about {ask}, call {phone}
please ring {us} on {phone} when {our} {lost} turns up; if it is about {ask}, you can reach {us} at {phone}
I left my {lost} behind, so please call me on {phone}
== contact phone leak
my number is {phone}; my phone number is {phone}; my mobile is {phone}; my mobile number is {phone}; tel {phone}
call {!first} on {phone}; ask for {!first} at {phone}; my name is {!person} and my number is {phone}
{!person}, {phone}; the number is {phone}
== contact phone safe
you can reach me at the front desk; you can reach {us} at the hotel until {weekday}; you can reach me at home
call me at the office; call me when you have news; please call me back soon; you can reach me at work
please have the manager call me at home; please have the manager call me; I can be reached in the evenings
you can reach {us} at {our} hotel; call me at any time; ring me when {our} {lost} turns up
text me when it is open again; I can be reached at the office; my number is on the form
my phone number is in the booking; my number is the same as before; my mobile is switched off at night
my mobile number is on the reservation; the number is on your website; my phone number is none of your business
== contact email
write to {mail}; please write to {mail}; you can write to {mail}; you can write to me at {mail}
send the photos to {mail}; please send the receipt to {mail}; you can send the refund to {mail}
send an apology to {mail}; please reply to {mail}; a copy went to {mail}; if you find {our} {lost}, write to {mail}
for the recipe, write to {mail}; if anybody has pictures of the {evening}, send them to {mail}
questions about {ask} go to {mail}; please mail the bill to {mail}
== contact email leak
my email is {mail}; my e-mail is {mail}; my email address is {mail}; my address is {mail}; email me at {mail}
reach me at {mail}; contact: {mail}; {!person}, {mail}; you can find me under {mail}
{!first} can be reached at {mail}; I am {mail} if you need me
== contact email safe
my email is in the booking; my email address is on file; my e-mail is on the form; my email has not been answered
email me when it is open again; my address is on the booking
== card leak
{!card}
== card safe
on file; in your system; the one I always use; safe with me; the same as last time; not something I will post here
on the booking; none of your business; stored with the deposit; the one from {our} last stay
== contact card
my card number is {card}; my credit card number is {card}; the number of my card is {card}
the card I paid with is {card}; the card number for the refund is {card}; the card for the deposit is {card}
for the deposit, my card number is {card}; for the refund, my card number is {card}
my husband's card number is {card}; as I told the {staff}, my card number is {card}
== contact card leak
please refund {card}; refund the {bigsum} to my card {card}; charge my card {card}; you charged my card {card} twice
they charged {bigsum} to my card {card}; I paid with card {card}; put the money back on {card}
my card {card} was charged twice; book it on my card {card}; the {staff} wrote down my card number, {card}
the receipt shows my full card number, {card}; I paid {bigsum} with {card}; my visa card is {card}
== contact card safe
please refund my card; you charged my card twice; I paid with card; they charged {bigsum} to my card
my card was declined for no reason; the {staff} wrote down my card number, which felt odd
my visa card was not accepted; put the money back on my card
== iban leak
{!iban}
== iban safe
on the invoice; known to you; in my last letter; the same as before; on the form I signed; with your accountant
== contact iban
my IBAN is {iban}; the IBAN for the refund is {iban}; my account number is {iban}; {our} bank details are {iban}
the account is {iban}
== contact iban leak
send the refund to {iban}; please transfer the {bigsum} to {iban}; transfer the deposit back to {iban}
wire it to {iban}; my bank account is {iban}; pay it back to my account {iban}; IBAN {iban}
== contact iban safe
send the refund to my bank; please transfer the {bigsum} to my account; transfer the deposit back to {us}
== ssn leak
{!ssn}
== ssn safe
not something they should ask for; private; nobody's business; in a safe place; not for a guest book
== contact ssn
my social security number is {ssn}; my SSN is {ssn}; my social is {ssn}
== contact ssn leak
they even asked for my SSN, {ssn}; they wrote my social security number on the form, {ssn}
the {staff} asked for my social security number and I gave it: {ssn}; the form says SSN {ssn}
for the claim, my SSN is {ssn}
== contact ssn safe
they even asked for my SSN; they wanted my social security number, which I refused
the {staff} asked for my social security number
== home leak
{!address}; {!address}; {!street}
== home safe
the other side of {town}; the coast; the middle of nowhere; town, near the {landmark}; a village {nearby}
a flat {nearby}; abroad now
== contact address
we live at {athome}; I live at {athome}; send it to {post}; please send the {lost} to {post}
send the voucher to {post}; you can send the refund to {post}; my address is {addr}; {our} address is {addr}
please post it to {post}; the parcel went to {post}; it should have been delivered to {post}
== athome leak
{!address}; {!address}; {!street}
== athome safe
the other end of the street; the edge of town; the {landmark} end of {town}; the bottom of the hill
== post leak
{!address}; {!address}; {!street}
== post safe
the address on the booking; {our} old address; my office; the wrong house; {our} neighbours; the address on the label
the shop instead
== addr leak
{!address}; {!address}; {!street}
== addr safe
on the booking; on the parcel; in your files; the same as last year; known to the {staff}; on the back of the card
== contact address leak
I moved to {!address}; {who} {+live} at {!address}; {!person}, {!address}; we are at {!address}
pick it up at {!street}
== ip leak
{!ip}
== ip safe
blocked for some reason; not secret; shown at the top of the page; logged anyway
== contact ip leak
the wifi gave me the address {!ip}; my IP address is {!ip}; my IP is {!ip}; the website blocked my IP {!ip}
the router is at {!ip}; they logged my IP address, {!ip}; the booking page sees me as {!ip}
the printer in the lobby is {!ip}; the booking was made from {!ip}
== contact ip safe
my IP address is {ip}; my IP is {ip}; the website blocked my IP; the wifi kept dropping; the booking page did not load
they logged my IP address
== birth leak
{!birth}
== birth safe
in June; next week; in the spring; a secret; on the form; soon; in {our} passports
== contact birth
my date of birth is {birth}; my birthday is {birth}; my date of birth, in case you need it, is {birth}
== contact birth leak
I was born on {!birth}; born {!birth}; my daughter was born on {!birth}; they asked for my date of birth, {!birth}
I am {!first}, born {!birth}; for the discount: born on {!birth}; DOB {!birth}; my mother was born on {!birth}
== contact birth safe
I was born on the day it opened; I was born in this town; they asked for my date of birth
{who} {was} born round the corner
== contact url leak
I put the photos on {!url}; the full review is at {!url}; see {!url} for pictures; my blog is {!url}; more at {!url}
pictures are on {!url}; I wrote about it on {!url}; {!first}'s page is {!url}
== contact url safe
I put the photos on my blog; the full review is on my blog; pictures will follow; I wrote about it online
more on my page
== contact password
my password is {secret}; the password for my account is {secret}; the wifi password is {secret}
the door code is {secret}
== secret leak
{!password}
== secret safe
still not working; on the back of the menu; changed every day; printed on the receipt; far too long; a secret
written on the mirror; on a card in the room
== contact password leak
I logged in with {!password} and it worked; they gave everyone the same password, {!password}
my login is {!email} with {!password}
== contact booking
{our} booking number is {ref}; my booking reference is {ref}; the booking was under {ref}; the reference is {ref}
{our} reservation is {ref}
== ref leak
{!booking}
== ref safe
on the receipt; in the mail; lost; the old one; the same; in your system
== contact plate leak
my car is {!plate}; the car was {!plate}; {our} number plate is {!plate}; they clamped my car, {!plate}
I parked my car, {!plate}, right outside
== contact plate safe
my car is parked outside; they clamped my car; I parked my car right outside; {our} number plate is on the form
== contact name leak
signed, {!person}; {!person}; {!first}; yours, {!first}; best wishes, {!first} and {!other}; {!first} and {!other}
regards, {!person}; my name is {!person}; this is {!person} writing; love from {!first}; {!first}; ask for {!first}
the booking was under {!person}; {!other} at the desk deserves a mention; a lady called {!other} deserves a mention
{!stranger} will remember {us}; I am {!person} and I work for {!organization}; {!person}, {!organization}
we came with {!organization}; {!other} at the desk knows {us}; my colleagues from {!organization} said the same
signed, {!first}; yours sincerely, {!person}; the {!last} family; Mr {!last} knows the details
Mrs {!last} from room {room}; say hello to {!other}; the table was booked in the name of {!last}
== contact name safe
signed, a regular; signed, a happy guest; signed, nobody in particular; yours, a neighbour; best wishes to all
regards, a former guest; love from all of us; my name is on the booking; signed, a tired {person}; signed, a {person}
the booking was under my name; ask for me at the desk; yours sincerely, a {person}; say hello to the chef
the table was booked in my name; signed, the family from room {room}; signed, a {person} from {town}
regards, a {person} from {town}
== contact name safe neg
signed, a former guest; signed, an unhappy {person}; signed, a disappointed {person}
== contact name safe praise
signed, a very happy {person}; love from the whole family; signed, a grateful {person}
== weekday
Monday; Tuesday; Wednesday; Thursday; Friday; Saturday; Sunday
== room
3; 7; 12; 14; 21; 27; 104; 112; 203; 215; 306; 311; 402; 418
"""
