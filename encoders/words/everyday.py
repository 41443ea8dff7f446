"""Everyday words that WordNet's tree does not lead to the classes of, or not far enough; written by hand.

`SAME` are other spellings and names of what the table has. `COMPANIONS` are classes among which a thing
is seldom missing: a kitchen shows a stove, people wear clothes, a fork lies beside a plate. In everyday
footage things are small and many, and the classifier names what is largest: the plate, not the fork. A
word's companions count less than its own classes (`COMPANION_WEIGHT` in `encoders.words.vectors`); a
word that has none of its own is found by its companions alone, and counts as half understood.

Written down from common knowledge, and checked on everyday photographs (COCO, train2017) only.
"""

from __future__ import annotations

# What follows stands as: names at the margin, and indented below them what they mean; "*kitchen" is a group.
_SAME = """
airliner
    airplane, aeroplane, jet, jetliner, passenger plane
analog clock
    clock face
backpack
    rucksack, knapsack, school bag
bathtub
    bath, bath tub
bicycle
    bike, cycle, cyclist
bookshop
    bookstore, book shop, book store
cash machine
    atm, cash dispenser
cellular telephone
    cell phone, cellphone, mobile, mobile phone, smartphone, smart phone
church
    cathedral, chapel, abbey
cinema
    movie theater, movie theatre
cock
    rooster, cockerel
comic book
    comic, comics
computer keyboard
    keyboard
dog
    doggy, doggie, pup, puppy
domestic cat
    kitten, kitty, pussycat, house cat
electric fan
    fan, ventilator
garbage truck
    dustcart, bin lorry
gas pump
    petrol pump, petrol station, gas station, filling station
goblet
    wine glass, wineglass
grocery store
    supermarket, grocery
hand blower
    hair drier, hair dryer, hairdryer, blow dryer
hen
    chicken
laptop
    laptop computer, notebook computer
motor scooter
    vespa
musical instrument
    instrument
park bench
    bench
person
    people, human, human being, man, woman, gentleman, lady, guy, girl, boy, child, kid, adult, crowd,
    everybody, somebody, player, family, friend, couple, audience, worker
plane
    carpenter's plane
plastic bag
    carrier bag, shopping bag
pot
    plant, potted plant, flowerpot, flower pot, houseplant, house plant, pot plant
purse
    handbag, hand bag, pocketbook
racer
    race car, racing car, formula one
remote control
    remote, remote controller
school bus
    schoolbus
seashore
    beach, coast, coastline, shore, seaside, sea, ocean
stove
    oven, cooker, kitchen stove
street sign
    stop sign, road sign, signpost, traffic sign
studio couch
    couch, sofa, settee
sunglasses
    shades
teddy
    teddy bear, stuffed animal, plush toy, cuddly toy
television
    tv, tv set, television set, telly
toilet seat
    toilet, lavatory, loo
traffic light
    traffic lights, stoplight, stop light, traffic signal
washbasin
    sink, basin, bathroom sink, kitchen sink
washer
    washing machine
lakeside
    lake, pond, river bank, riverbank
"""

_GROUPS = """
kitchen
    stove, microwave, refrigerator, dishwasher, frying pan, toaster, espresso maker, dutch oven, spatula,
    plate rack, coffeepot, rotisserie, wok
bathroom
    toilet seat, washbasin, bathtub, tub, shower curtain, soap dispenser, medicine chest, toilet tissue,
    bath towel
living room
    studio couch, entertainment center, television, home theater, remote control, table lamp, bookcase,
    rocking chair, window shade, china cabinet
desk
    desk, desktop computer, computer keyboard, monitor, screen, laptop, mouse, printer, notebook
meal
    plate, food, dining table, restaurant, tray, menu
street
    traffic light, street sign, cab, streetcar, trolleybus, minibus, police van, parking meter, moving
    van, garbage truck, limousine, minivan, passenger car
waterside
    seashore, dock, lakeside, pier, breakwater, sandbar, boathouse
people
    clothing, sports equipment
ball game
    ballplayer, sports equipment, racket, football helmet, scoreboard
snow
    ski, alp, snowmobile, snowplow, dogsled, bobsled, ski mask
railway
    bullet train, electric locomotive, steam locomotive, passenger car, freight car, streetcar
farm
    tractor, harvester, thresher, barn, hay, worm fence, ox, ram, plow, rapeseed, corn
savanna
    zebra, gazelle, impala, hartebeest, ostrich, cheetah, leopard, warthog
flowers
    daisy, yellow lady's slipper, vase, pot, rapeseed
shops
    grocery store, bakery, bookshop, shoe shop, toyshop, tobacco shop, butcher shop, confectionery,
    shopping cart
"""

_COMPANIONS = """
person
    *people
baby, infant, toddler
    diaper, bib, crib, bassinet, cradle, nipple, bonnet
bride, wedding, marriage
    groom, gown, hoopskirt, overskirt, suit, bow tie
soldier, army, troops, military, war, battle
    military uniform, bearskin, assault rifle, tank, warplane, half track, cannon, missile
police, policeman, police officer
    police van, bulletproof vest, holster
doctor, nurse, hospital, surgeon
    lab coat, stethoscope, stretcher, oxygen mask, syringe, ambulance
scientist, laboratory, lab
    lab coat, beaker, petri dish, oscilloscope
kitchen, cooking, cook, microwave, oven, refrigerator, fridge, toaster, dishwasher, stove
    *kitchen
bathroom, washroom, restroom, toilet, toothbrush, shower, bathtub
    *bathroom
sink, washbasin
    *bathroom, *kitchen
bedroom, bed
    four-poster, quilt, pillow, chiffonier, wardrobe, crib, table lamp
living room, lounge, room, interior, couch, sofa, remote control, clock, furniture
    *living room
potted plant, pot
    *living room, patio, vase, greenhouse
office, laptop, mouse, keyboard, computer, monitor, desk, computer keyboard
    *desk
street, city, town, road, traffic, crossroads, downtown, car, truck, traffic light, street sign, parking
meter, fire hydrant, bicycle
    *street
train, train station, railway, railroad, rail, train tracks
    *railway
harbor, harbour, port, marina, boat, sailing
    *waterside, speedboat, yawl, canoe, container ship
beach, sea, ocean, coast, surfboard, surfing, surfer, surf, waves
    *waterside, bikini, swimming trunks, snorkel, paddle
river
    lakeside, suspension bridge, steel arch bridge, viaduct, canoe, dam, gondola
snow, winter, skis, ski, skiing, skier, snowboard, snowboarding, snowboarder
    *snow
landscape, nature, scenery, outdoors
    alp, valley, lakeside, seashore, cliff, promontory, volcano
farm, field, countryside, farming, cow, cattle, bull, calf
    *farm
cow, cattle
    *farm, water buffalo, oxcart
horse, pony, horse riding
    sorrel, horse cart, barn, worm fence
giraffe, savanna, safari, antelope
    *savanna
garden
    pot, greenhouse, picket fence, patio, lawn mower, daisy, birdhouse, fountain
flower, bouquet, vase, plant
    *flowers
restaurant, dining, dining room, meal, dinner, lunch, breakfast, dish, cup, plate, table, dining table,
carrot, broccoli, salad
    *meal
fork, knife, spoon, bowl, cutlery, silverware, bottle
    *meal, *kitchen
wine glass, glass, drink, beverage, wine, beer, alcohol
    wine bottle, red wine, goblet, beer bottle, pop bottle, water bottle, beer glass, cocktail shaker
coffee, tea
    cup, espresso, coffee mug, coffeepot, teapot, espresso maker
cake, birthday cake, dessert, cupcake, pastry
    trifle, ice cream, chocolate sauce, bakery, bagel, pretzel, french loaf, confectionery, spatula,
    candle, plate
donut, doughnut
    bagel, bakery, pretzel, ice cream, chocolate sauce, french loaf
birthday, party
    candle, balloon, trifle, confectionery
apple
    granny smith, pomegranate, fig, grocery store
sport, sports, game, match, athlete, ball, sports ball
    *ball game
frisbee
    *ball game, dog
baseball bat, baseball glove, baseball mitt, baseball game, baseball player
    ballplayer, baseball, scoreboard
tennis, tennis player
    racket, tennis ball, ballplayer
football, soccer
    soccer ball, football helmet, rugby ball, ballplayer
hockey, ice hockey
    puck, ski mask, football helmet
golf
    golf ball, golfcart
boxing
    punching bag
gymnastics, gymnast
    horizontal bar, parallel bars, balance beam
gym, weightlifting
    barbell, dumbbell
skateboard, skateboarding, skateboarder, skater
    unicycle, knee pad, crash helmet, horizontal bar, punching bag
kite
    parachute, balloon, pinwheel, airship, flagpole
swimming pool, pool, diving, swimming
    swimming trunks, bathing cap, snorkel, maillot, bikini
airport, runway, airplane, plane
    airliner, wing, warplane, airship
motorcycle
    moped, motor scooter, crash helmet
tie, necktie
    suit, windsor tie, groom, bow tie, military uniform
suitcase, luggage, baggage
    mailbag, backpack, purse, chest, turnstile
backpack, hiking
    alp, mountain tent, military uniform
handbag
    purse, mailbag, sarong, gown, miniskirt, turnstile
book, reading
    bookcase, bookshop, library, book jacket, comic book, *desk, *living room
teddy
    toyshop, crib, quilt, pillow
newspaper
    crossword puzzle, comic book
scissors
    letter opener, safety pin, can opener, hair slide
music, band, musician, concert
    musical instrument, stage, microphone, loudspeaker
fire, flames, campfire
    torch, candle, matchstick, volcano, stove, fire screen
toy
    teddy, jigsaw puzzle, pinwheel, toyshop, carousel, swing
playground, amusement park, fairground
    swing, carousel, maze
shop, store, shopping
    *shops
house, home
    mobile home, picket fence, tile roof, patio, boathouse
electronics
    electronic equipment, *desk, remote control
space, spaceship, astronaut, rocket
    space shuttle, missile, projectile
jewelry, jewellery
    necklace, hair slide, digital watch
glasses, spectacles
    sunglasses, loupe
makeup, cosmetics
    lipstick, face powder, perfume, lotion, hair spray
"""


def _read_entries(text: str) -> list[tuple[list[str], list[str]]]:
    """Entries of what stands at the margin, and what is indented below it, both parted by commas."""
    entries: list[tuple[str, str]] = []
    for line in text.strip("\n").split("\n"):
        head, body = entries[-1] if entries else ("", "")
        if line.startswith(" "):
            entries[-1] = (head, f"{body} {line.strip()}".strip())
        elif body or not entries:
            entries.append((line, ""))
        else:
            entries[-1] = (f"{head} {line}", "")
    return [(head.split(", "), body.split(", ")) for head, body in entries]


def _expand(names: list[str], groups: dict[str, list[str]]) -> tuple[str, ...]:
    """With groups, whose names begin with a star, replaced by what is in them."""
    return tuple(one for name in names for one in (groups[name[1:]] if name[0] == "*" else [name]))


SAME: dict[str, str] = {word: meant[0] for meant, words in _read_entries(_SAME) for word in words}
_NAMED_GROUPS = {name[0]: classes for name, classes in _read_entries(_GROUPS)}
COMPANIONS: dict[str, tuple[str, ...]] = {
    word: _expand(classes, _NAMED_GROUPS) for words, classes in _read_entries(_COMPANIONS) for word in words
}
