"""Texts that describe what most libraries do not show: how they score tells how unrelated words score."""

from __future__ import annotations

# Everyday things, people, places and deeds of many kinds: what people might look for, and what any
# one library mostly does not hold.
BACKGROUND_TEXTS = tuple(
    """airport runway|apple pie|aquarium fish|archery|art museum|asphalt road|astronaut in space|
    baby crawling|badminton match|bagpipes|baking bread|ballet dancer|bamboo forest|barber cutting hair|
    baseball pitcher|bathroom sink|beach at sunset|bee on a flower|birthday cake|blacksmith|blizzard|
    boat in a harbour|bookshelf|bowling alley|boxing match|brick wall|bride and groom|bulldozer|
    butterfly|cactus|camel in the desert|campfire|candle|car crash|carpenter sawing wood|castle|cathedral|
    cattle grazing|chemistry laboratory|cherry blossom|chess game|chicken coop|circus|city skyline at night|
    classroom|cliff diving|clouds from a plane|coal mine|concert crowd|construction crane|coral reef|
    corn field|court room|crocodile|crossword|cyclist|dam|deer in a forest|dentist|desert dunes|
    dinner table|dog catching a frisbee|dolphin|drone view of a river|drum kit|eagle flying|
    earthquake rubble|electric guitar|elephant|elevator|escalator|factory assembly line|farmers market|
    fencing|ferris wheel|fire engine|fireworks|fishing rod|flag waving|flooded street|football stadium|
    fountain|fox in the snow|frog|fruit stand|garage|garden hose|giraffe|glacier|glass blowing|goat|
    golf swing|goose|graffiti|grandfather clock|graveyard|greenhouse|gymnastics|hair dryer|
    hammer and nails|handshake|harp|hawk|haystack|hedgehog|helicopter|hockey game|horse race|hospital bed|
    hot air balloon|hotel lobby|iceberg|ironing clothes|jellyfish|jigsaw puzzle|judge|juggling|kangaroo|
    karate|kayak|keyboard|king penguin|kitchen stove|kite|knitting|ladder|lawn mower|library|lighthouse|
    lightning|lion|lizard|lobster|map of the world|marathon runners|market stall|mechanic under a car|
    microscope|military parade|milking a cow|monkey|moon|motorcycle|mountain climber|mushroom|nurse|
    octopus|office desk|oil rig|opera singer|orchestra|orchid|owl|painting a fence|palm tree|parachute|
    parking lot|parrot|pasta|peacock|petrol station|photographer|piano player|pigeon|pirate ship|pizza oven|
    playground slide|police officer|polar bear|pottery wheel|printing press|protest march|pumpkin|puppet show|
    rabbit|race car|radio tower|rainbow|rat|recording studio|refrigerator|rice field|rocket launch|
    roller coaster|rowing crew|rugby scrum|running shoes|sail boat|sandwich|satellite dish|saxophone|
    scarecrow|school bus|scissors|scuba diver|sewing machine|shark|shaving a beard|sheep dog|shopping mall|
    shower|skateboard trick|ski jump|sleeping cat|snail|snake|snow plough|soap bubbles|solar panels|
    spider web|spiral staircase|squirrel|starfish|steam train|stock exchange|storm waves|strawberry|
    submarine|subway station|sumo wrestling|supermarket aisle|surfer|surgeon|sushi|swan|swimming pool|
    swing|table tennis|tango|tank|tattoo|taxi|tea pot|telephone|television news reader|tennis serve|
    tent|theatre stage|tiger|toaster|tornado|tractor|traffic jam|train tracks|trampoline|
    treadmill|tree house|trombone|truck|tulips|turtle|umbrella|unicycle|vacuum cleaner|vending machine|
    vineyard|violin|volcano|volleyball|waiter|washing machine|waterfall|wedding cake|weight lifting|
    whale|wheelchair|whiteboard|wind turbine|window cleaner|wine glass|wolf|wood fire|wrestling|x-ray|
    yoga pose|zebra""".replace("\n", "").split("|")
)
