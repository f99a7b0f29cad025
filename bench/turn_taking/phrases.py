"""What callers and agents of the corpus say."""

from __future__ import annotations

GREETING = "Good day, this is the front desk of Hill House, thank you for calling. How can I help you?"
QUESTION = "Could you tell me more about the house?"

STORIES = (
    (
        "The house was built by a merchant from the north because he wanted his children to grow up close to the "
        "river. Later it became a school for about ninety pupils with a library on the upper floor and a kitchen "
        "that was famous in the whole valley. Today there are twelve rooms for guests and most of them have a view "
        "of the garden and the old bridge."
    ),
    (
        "Breakfast is served from seven until half past ten in the winter garden with bread from the village and "
        "honey from our own bees. Guests who leave early may order a basket the evening before and it will be "
        "waiting at the door. Dinner begins at six and the cook changes the menu every Thursday when the market "
        "opens on the square behind the church."
    ),
    (
        "You reach us by train from the coast in about two hours with one change at the junction near the lake. "
        "From the station a path leads along the stream past a mill and two farms and after twenty minutes you "
        "will see our chimneys. Drivers take the second turning after the quarry because the first one is closed "
        "to cars until the repairs are finished."
    ),
    (
        "Walkers like the ridge above the forest where on clear days the islands can be seen and nobody has ever "
        "complained about the climb. Families prefer the shallow bay with its white sand and a small shop and a "
        "lifeguard during the summer months. When it rains the museum of clocks is worth a visit since its owner "
        "explains each piece himself and lets children wind them."
    ),
)
"""The agent's first, second ... answer. No two share a phrase, so captions tell which one is being spoken; there is no
comma, at which the voice would rest for as long as an agent that is being stopped."""

CLEAN = (
    "I would like to know when you open tomorrow.",
    "Is there a car park near the house?",
    "We would like to stay for three nights in June.",
    "Please tell me the price of a double room.",
    "My wife is allergic to feathers.",
    "What time does the last train leave?",
)
CLEAN_RECORDED = ("dashwood", "ill-disposed", "cold-hearted", "married", "go-forward", "something")

HESITATIONS = (
    ("I would like to book a table for,", "four people."),
    ("My name is,", "Katherine Miller."),
    ("Could you tell me whether,", "you are open on Sunday?"),
    ("I need an appointment on, um,", "Tuesday afternoon."),
    ("We will be coming from, uh,", "the airport."),
    ("I wanted to ask about the, um,", "garden at the back."),
    ("Please send the letter to,", "forty two Hill Street."),
    ("I think it was because,", "the door was open."),
    ("Can I pay with, um,", "a credit card?"),
    ("It is a present for my mother and,", "my father."),
)
"""A sentence that breaks off where nobody could take it for finished, and its rest."""

HESITATIONS_RECORDED = (
    ("dashwood", 2.23),
    ("dashwood", 4.19),
    ("cold-hearted", 1.32),
    ("cold-hearted", 3.88),
    ("married", 3.21),
    ("amiable", 1.10),
)
"""A recording, and where it is cut within a clause: the quietest hundredth of a second there."""

NUMBERS = (
    ("My number is oh seven seven,", "nine four one,", "three two six."),
    ("It is four one five,", "eight eight two,", "nine one seven one."),
    ("The order number is nine three,", "seven five."),
    ("My card number is four nine two one,", "eight eight three zero."),
    ("You can reach me at five five five,", "zero one,", "nine nine."),
    ("The booking code is six two,", "eight four,", "one one."),
)
NUMBERS_SPELLED = (
    ("telephone-number 0 7 7", "9 4 1", "3 2 6"),
    ("4 1 5", "8 8 2", "9 1 7 1"),
    ("oh 2 0", "7 9 4 6"),
    ("number 6 0 3", "1 5 8"),
)
"""Groups of recorded digits."""

NUMBERS_RECORDED = (("cards", (1.16, 2.17)), ("numbers", (1.29, 2.22)))
"""A recording, and where pauses are put into it."""

INTERRUPTIONS = (
    "No, wait a moment.",
    "Sorry, stop there.",
    "That is not right.",
    "Can I ask you something?",
    "Hold on please.",
    "I have another question.",
    "Excuse me, one thing.",
    "No thank you, that is enough.",
    "How much does it cost?",
)
INTERRUPTIONS_RECORDED = ("one-moment-please", "please-try-again", "go-forward")

BACKCHANNELS = ("uh-huh", "right", "yeah", "okay", "mm-hmm")
TIMES_OF_BACKCHANNELS = (3, 3, 3, 3, 2)

CROWD = (
    "And then they told us that the whole street would be closed until the end of the week.",
    "She never liked that place much, but her brother went there every other Saturday.",
    "If you ask me, they should have painted it green and left the windows as they were.",
    "We had to wait for an hour, and when the bus came it was full of football fans.",
    "He says that the new machine is faster, although nobody has seen it work so far.",
    "There was hardly any snow this year, so the children stayed at home most of the time.",
    "I always buy two of them, because one is gone before the evening.",
    "They moved to the other side of the river when the twins were born.",
)
"""For babble: all at once, in different voices."""

CLEAN_HELD_OUT = (
    "Good morning, I am calling about the advertisement in the paper.",
    "Do you take dogs?",
    "I need to change my reservation from Monday to Wednesday.",
    "That sounds good to me.",
    "We were there last year.",
    "The second one, please.",
    "How far is it to the beach from where you are?",
    "I am not sure what I should bring with me.",
    "Yes, that is what I meant.",
    "It was a present from my sister.",
    "Two adults and one child.",
    "Could you put me through to the kitchen?",
)
HESITATIONS_HELD_OUT = (
    ("I am looking for a room with,", "a view of the sea."),
    ("We would arrive at about,", "half past nine."),
    ("The thing is that,", "my husband cannot climb stairs."),
    ("Do you know if,", "there is a pharmacy nearby?"),
    ("I would rather have the,", "smaller one."),
    ("My daughter is allergic to, uh,", "peanuts."),
    ("Can we get there by,", "bicycle?"),
    ("It broke when I,", "opened the lid."),
    ("Could I speak to, um,", "the manager?"),
    ("I have been waiting since,", "early this morning."),
    ("She told me that you,", "repair clocks."),
    ("There is a problem with my,", "last invoice."),
    ("I live on the corner of,", "King Street and the market."),
    ("What happens when the,", "battery is empty?"),
    ("First I tried to call, and then I,", "wrote to you."),
    ("My address is twelve,", "Station Road."),
)
NUMBERS_HELD_OUT = (
    ("You can call me on oh one six,", "four four two,", "nine three five."),
    ("The code on the box is seven one,", "nine six,", "five."),
    ("It is two two eight,", "six oh four."),
    ("My customer number is one one nine,", "eight three seven."),
    ("Sure, it is six five oh,", "two one one,", "four three eight nine."),
    ("The serial number starts with three nine,", "four eight one."),
    ("Zero four,", "nine one,", "six six,", "two eight."),
    ("My account is five double two,", "seven nine."),
)
"""Written after the rules of turn-taking had been tuned on the others, and looked at only as figures: `--held-out`."""
