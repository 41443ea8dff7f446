"""Everyday names of actions, and the Kinetics-400 names (Kay et al. 2017, arXiv:1705.06950) they mean."""

from __future__ import annotations

# "everyday words that mean the same | ..." -> "narrower names | ..."
_TABLE = {
    # sport
    "running | run | sprinting | runner": "jogging | running on treadmill",
    "exercising | working out | workout | fitness | gym": (
        "bench pressing | clean and jerk | deadlifting | doing aerobics | exercising arm "
        "| exercising with an exercise ball | front raises | lunge | pull ups | push up | punching bag "
        "| running on treadmill | situp | snatch weight lifting | squat | stretching arm | stretching leg "
        "| zumba"
    ),
    "weight lifting | weightlifting | lifting weights": (
        "bench pressing | clean and jerk | deadlifting | front raises | snatch weight lifting | squat"
    ),
    "pressups | press ups": "push up",
    "chin ups": "pull ups",
    "crunches": "situp",
    "stretching": "bending back | stretching arm | stretching leg | yoga",
    "gymnastics | acrobatics": (
        "cartwheeling | gymnastics tumbling | somersaulting | trapezing | vault | bouncing on trampoline"
    ),
    "flipping | backflip | tumbling": "gymnastics tumbling | somersaulting",
    "athletics | track and field": (
        "hammer throw | high jump | hurdling | javelin throw | long jump | pole vault | shot put "
        "| throwing discus | triple jump"
    ),
    "jumping | leaping": (
        "bouncing on trampoline | bungee jumping | high jump | hopscotch | hurdling | jumping into pool "
        "| long jump | parkour | pole vault | skipping rope | ski jumping | triple jump"
    ),
    "jump rope | jumping rope": "skipping rope",
    "throwing": (
        "catching or throwing baseball | catching or throwing frisbee | catching or throwing softball "
        "| hammer throw | javelin throw | passing american football (in game) "
        "| passing american football (not in game) | shot put | throwing axe | throwing ball "
        "| throwing discus"
    ),
    "catching": (
        "catching fish | catching or throwing baseball | catching or throwing frisbee "
        "| catching or throwing softball"
    ),
    "kicking": (
        "drop kicking | high kick | kicking field goal | kicking soccer ball | playing kickball | side kick"
    ),
    "football | playing football": (
        "juggling soccer ball | kicking field goal | kicking soccer ball "
        "| passing american football (in game) | passing american football (not in game) "
        "| shooting goal (soccer)"
    ),
    "soccer | playing soccer": "juggling soccer ball | kicking soccer ball | shooting goal (soccer)",
    "american football": (
        "kicking field goal | passing american football (in game) | passing american football (not in game)"
    ),
    "scoring a goal | goal": "shooting goal (soccer) | kicking field goal",
    "basketball": (
        "dribbling basketball | dunking basketball | playing basketball | shooting basketball"
    ),
    "slam dunk": "dunking basketball",
    "baseball | softball": (
        "catching or throwing baseball | catching or throwing softball | hitting baseball"
    ),
    "frisbee": "catching or throwing frisbee | disc golfing",
    "golf | playing golf | golfing": "disc golfing | golf chipping | golf driving | golf putting",
    "hockey": "hockey stop | playing ice hockey",
    "racket sports | squash": "playing badminton | playing squash or racquetball | playing tennis",
    "ball games | ball sports": (
        "dodgeball | dribbling basketball | hitting baseball | kicking soccer ball | playing basketball "
        "| playing cricket | playing kickball | playing squash or racquetball | playing tennis "
        "| playing volleyball | bowling"
    ),
    "fighting | combat | martial arts": (
        "arm wrestling | capoeira | drop kicking | headbutting | high kick | punching bag "
        "| punching person (boxing) | side kick | slapping | sword fighting | wrestling | tai chi"
    ),
    "boxing | punching": "punching bag | punching person (boxing)",
    "karate | kickboxing | taekwondo": "drop kicking | high kick | side kick",
    "fencing": "sword fighting",
    "hitting": "hitting baseball | punching bag | punching person (boxing) | slapping",
    "climbing | mountaineering": (
        "abseiling | climbing a rope | climbing ladder | climbing tree | ice climbing | rock climbing"
    ),
    "bouldering": "rock climbing",
    "rappelling": "abseiling",
    "free running": "parkour",
    "swimming | swimmer": (
        "swimming backstroke | swimming breast stroke | swimming butterfly stroke | snorkeling"
    ),
    "diving | diver": "diving cliff | scuba diving | snorkeling | springboard diving",
    "water sports | watersports": (
        "canoeing or kayaking | jetskiing | kitesurfing | parasailing | sailing | surfing water "
        "| water skiing | windsurfing"
    ),
    "surfing | surfer": "kitesurfing | surfing water | windsurfing",
    "boating | rowing | paddling | kayaking": "canoeing or kayaking | sailing",
    "winter sports": (
        "bobsledding | ice climbing | ice skating | playing ice hockey | ski jumping "
        "| skiing (not slalom or crosscountry) | skiing crosscountry | skiing slalom | snowboarding "
        "| snowkiting | snowmobiling | tobogganing"
    ),
    "skiing | skier": (
        "ski jumping | skiing (not slalom or crosscountry) | skiing crosscountry | skiing slalom"
    ),
    "cross country skiing": "skiing crosscountry",
    "sledding | sledging | sleighing": "bobsledding | sled dog racing | tobogganing",
    "skating": "ice skating | roller skating | skateboarding | hockey stop",
    "rollerblading | inline skating": "roller skating",
    "flying": "flying kite | paragliding | parasailing | skydiving",
    "parachuting": "skydiving",
    "extreme sports": "bungee jumping | diving cliff | paragliding | parkour | skydiving | slacklining",
    "trampolining": "bouncing on trampoline",
    "tightrope walking": "slacklining",
    # moving about
    "cycling | biking | bicycling | bicycle | riding a bicycle | cyclist": (
        "biking through snow | riding a bike | riding mountain bike | riding unicycle"
    ),
    "mountain biking": "riding mountain bike",
    "motorbike | motorbiking | riding a motorcycle": "motorcycling",
    "driving | driver": "driving car | driving tractor | motorcycling",
    "riding": (
        "motorcycling | riding a bike | riding camel | riding elephant | riding mechanical bull "
        "| riding mountain bike | riding mule | riding or walking with horse | riding scooter "
        "| riding unicycle"
    ),
    "horse riding | horseback riding | equestrian": "riding or walking with horse | riding mule",
    "walking | strolling | hiking": "marching | riding or walking with horse | walking the dog",
    "pushing": "pushing car | pushing cart | pushing wheelchair",
    "falling": "faceplanting",
    "queueing | queuing | standing in line": "waiting in line",
    "parade": "marching",
    # music, dance, the stage
    "dancing | dancer": (
        "belly dancing | breakdancing | capoeira | country line dancing | dancing ballet "
        "| dancing charleston | dancing gangnam style | dancing macarena | jumpstyle dancing | krumping "
        "| robot dancing | salsa dancing | swing dancing | tango dancing | tap dancing | zumba"
    ),
    "ballet": "dancing ballet",
    "hip hop | street dance": "breakdancing | krumping | robot dancing",
    "ballroom dancing | couple dancing": "salsa dancing | swing dancing | tango dancing",
    "music | playing music | making music | playing an instrument | musician": (
        "air drumming | beatboxing | busking | drumming fingers | playing accordion | playing bagpipes "
        "| playing bass guitar | playing cello | playing clarinet | playing cymbals | playing didgeridoo "
        "| playing drums | playing flute | playing guitar | playing harmonica | playing harp "
        "| playing keyboard | playing organ | playing piano | playing recorder | playing saxophone "
        "| playing trombone | playing trumpet | playing ukulele | playing violin | playing xylophone "
        "| recording music | singing | strumming guitar | tapping guitar | whistling"
    ),
    "guitar | guitarist": (
        "playing bass guitar | playing guitar | strumming guitar | tapping guitar"
    ),
    "drumming | drummer": "air drumming | drumming fingers | playing cymbals | playing drums",
    "fiddle": "playing violin",
    "pianist": "playing keyboard | playing piano",
    "wind instruments | brass": (
        "playing bagpipes | playing clarinet | playing didgeridoo | playing flute | playing harmonica "
        "| playing recorder | playing saxophone | playing trombone | playing trumpet"
    ),
    "singer | sing a song": "singing",
    "street music | street performance": "busking",
    "circus": (
        "contact juggling | juggling balls | juggling fire | riding unicycle | slacklining | spinning poi "
        "| trapezing"
    ),
    "juggling": "contact juggling | juggling balls | juggling fire | juggling soccer ball",
    # food and drink
    "cooking | cook | chef": (
        "baking cookies | barbequing | breading or breadcrumbing | cooking chicken | cooking egg "
        "| cooking on campfire | cooking sausages | flipping pancake | frying vegetables | making a cake "
        "| making a sandwich | making pizza | making sushi | scrambling eggs | tossing salad"
    ),
    "preparing food | making food": (
        "breading or breadcrumbing | cutting pineapple | cutting watermelon | grinding meat "
        "| making a sandwich | making pizza | making sushi | peeling apples | peeling potatoes "
        "| tossing salad"
    ),
    "baking": "baking cookies | making a cake | making pizza",
    "frying": "cooking egg | cooking sausages | flipping pancake | frying vegetables | scrambling eggs",
    "barbecue | barbecuing | grilling | bbq": "barbequing | cooking on campfire | cooking sausages",
    "pancakes | making pancakes": "flipping pancake",
    "peeling": "peeling apples | peeling potatoes",
    "cutting | chopping | slicing": (
        "chopping wood | cutting nails | cutting pineapple | cutting watermelon "
        "| carving pumpkin"
    ),
    "eating | eat a meal": (
        "dining | eating burger | eating cake | eating carrots | eating chips | eating doughnuts "
        "| eating hotdog | eating ice cream | eating spaghetti | eating watermelon | tasting food"
    ),
    "dinner | lunch | having a meal": "dining | setting table",
    "having a drink | alcohol": (
        "bartending | drinking | drinking beer | drinking shots | tasting beer"
    ),
    "tasting": "tasting beer | tasting food",
    "beer": "drinking beer | tasting beer",
    "tea": "making tea",
    # people with people
    "embracing | cuddling": "hugging",
    "handshake": "shaking hands",
    "cheering | partying | party": "applauding | celebrating | cheerleading",
    "clapping hands | applause": "applauding | clapping",
    "talking | speaking | speech": (
        "answering questions | auctioning | news anchoring | presenting weather forecast | testifying"
    ),
    "news | reporting | presenting | television news": "news anchoring | presenting weather forecast",
    "interviewing": "answering questions | testifying",
    "sign language": "sign language interpreting",
    "weeping": "crying",
    "massaging | massage": "massaging back | massaging feet | massaging legs | massaging person's head",
    "award ceremony": "giving or receiving award",
    "playing games | gaming | games": (
        "playing cards | playing chess | playing controller | playing monopoly | playing poker "
        "| rock scissors paper | shuffling cards"
    ),
    "video games": "playing controller",
    "board games": "playing chess | playing monopoly",
    "card games | gambling": "playing cards | playing poker | shuffling cards",
    # body and looks
    "hairdressing | hairstyling | doing hair": (
        "braiding hair | brushing hair | curling hair | dying hair | fixing hair | getting a haircut "
        "| washing hair"
    ),
    "dyeing hair | colouring hair | coloring hair": "dying hair",
    "haircut | cutting hair | barber": "getting a haircut | shaving head | trimming or shaving beard",
    "shaving": "shaving head | shaving legs | trimming or shaving beard",
    "waxing": "waxing back | waxing chest | waxing eyebrows | waxing legs",
    "make up | makeup | cosmetics": "applying cream | doing nails | filling eyebrows | waxing eyebrows",
    "manicure": "cutting nails | doing nails",
    "tattoo | tattooing": "getting a tattoo",
    "showering | bathing": "taking a shower",
    "dressing | getting dressed": "tying bow tie | tying tie",
    "baby | babies": "baby waking up | carrying baby | crawling baby",
    "waking up": "baby waking up",
    # house, garden, work
    "cleaning | tidying | housework | chores": (
        "cleaning floor | cleaning gutters | cleaning pool | cleaning shoes | cleaning toilet "
        "| cleaning windows | doing laundry | folding clothes | ironing | making bed | mopping floor "
        "| sweeping floor | washing dishes"
    ),
    "washing": "doing laundry | washing dishes | washing feet | washing hair | washing hands",
    "dishes | doing the dishes": "washing dishes",
    "laundry | washing clothes": "doing laundry | folding clothes | ironing",
    "mopping | sweeping": "cleaning floor | mopping floor | sweeping floor",
    "gardening | yard work": (
        "blowing leaves | digging | mowing lawn | picking fruit | planting trees | trimming trees "
        "| watering plants"
    ),
    "mowing": "mowing lawn",
    "farming | agriculture": (
        "bee keeping | driving tractor | feeding goats | milking cow | picking fruit | shearing sheep"
    ),
    "construction | building": (
        "bending metal | building cabinet | building shed | laying bricks | plastering | sanding floor "
        "| welding"
    ),
    "woodwork | carpentry": "building cabinet | building shed | chopping wood | sanding floor",
    "repairing | fixing | car repair": "changing oil | changing wheel | checking tires | welding",
    "refuelling | refueling": "pumping gas",
    "moving house": "moving furniture | unloading truck",
    "painting": "brush painting | spray painting",
    "graffiti": "spray painting",
    "pottery": "clay pottery making",
    "crafts | handicraft": (
        "bookbinding | clay pottery making | folding paper | knitting | making jewelry | weaving basket"
    ),
    "origami": "folding paper",
    "crocheting": "knitting",
    "firefighting": "extinguishing fire",
    "tearing": "ripping paper | shredding paper",
    "first aid": "bandaging",
    "working at a computer | typing": "assembling computer | texting | using computer",
    "phone | using a phone": "texting",
    "reading": "reading book | reading newspaper",
    "cigarette": "smoking | smoking hookah",
    "gifts | unwrapping": "opening present | unboxing | wrapping present",
    "christmas": "decorating the christmas tree | opening present | wrapping present",
    "birthday": "blowing out candles | eating cake | making a cake | opening present",
    "snow": (
        "biking through snow | making snowman | shoveling snow | snowboarding | snowkiting | snowmobiling"
    ),
    # animals
    "fishing | angling": "catching fish | ice fishing",
    "feeding animals | feeding": "feeding birds | feeding fish | feeding goats",
    "petting | stroking": "petting animal (not cat) | petting cat",
    "dogs | dog": "grooming dog | sled dog racing | training dog | walking the dog",
    "cats | cat": "petting cat",
    "horses | horse": "grooming horse | riding or walking with horse",
}  # fmt: skip


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split("|"))


# (everyday names that mean the same, the Kinetics-400 names that they comprise)
SYNONYMS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = tuple(
    (_names(everyday), _names(names)) for everyday, names in _TABLE.items()
)
