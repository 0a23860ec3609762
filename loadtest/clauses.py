"""Clauses written for this load test, one per line; `corpus.py` joins them to sentences of a given length.

Every language has clauses of one, two and three words, so that any length can be reached exactly.
"""

_GERMAN = """
vielleicht
natürlich
leider
gestern Abend
mitten im Winter
trotz des Regens
der Zug hat Verspätung
meine Schwester wohnt in Bremen
wir haben die Fenster geschlossen
die Bäckerei öffnet um sechs Uhr
der alte Hund schläft unter dem Tisch
am Freitag treffen wir uns im Café
die Stadt baut eine neue Brücke über den Fluss
niemand wusste, warum das Licht noch brannte
er sucht seit einer Stunde seine Brille
das Wasser im See ist heute sehr kalt
die Kinder spielen im Hof hinter der Schule
kannst du mir bitte das Salz geben
der Vertrag wurde nach langen Verhandlungen unterschrieben
die Preise für Brot und Milch sind wieder gestiegen
ich habe den Schlüssel beim Nachbarn abgegeben
der Arzt rät zu mehr Bewegung an der frischen Luft
das Museum zeigt Bilder aus dem vergangenen Jahrhundert
die Forscher untersuchen den Boden eines ausgetrockneten Sees
im Garten meiner Großmutter wachsen Äpfel und Birnen
der Minister sprach vor den Vertretern der Gemeinden
sie lernt jeden Morgen zehn neue Wörter
das Fahrrad steht noch vor dem Bahnhof
nach dem Essen gingen alle schnell nach Hause
der Bericht nennt keine Namen und keine Zahlen
wer zuerst kommt, wählt den Platz am Fenster
die Mannschaft verlor das letzte Spiel der Saison
ein kleines Boot lag still im Hafen
das Gericht hat noch keinen Termin genannt
"""

_ENGLISH = """
perhaps
however
yesterday
last night
in late autumn
despite the rain
the train is late
my brother lives near the harbour
we closed all the windows
the bakery opens at six
an old dog sleeps under the table
on Friday we meet at the library
the city is building a new bridge over the river
nobody knew why the lamp was still burning
he has been looking for his glasses for an hour
the water in the lake is very cold today
the children play in the yard behind the school
could you pass me the salt, please
the contract was signed after long negotiations
bread and milk have become more expensive again
I left the key with the neighbours
the doctor recommends more walks in the fresh air
the museum shows paintings from the last century
researchers are studying the bed of a dry lake
apples and pears grow in my grandmother's garden
the minister spoke to the mayors of the region
she learns ten new words every morning
the bicycle is still standing outside the station
after dinner everybody went home quickly
the report gives neither names nor figures
whoever comes first may choose the seat by the window
the team lost the last match of the season
a small boat lay quietly in the harbour
the court has not yet set a date
"""

_FRENCH = """
peut-être
pourtant
hier soir
malgré la pluie
le train est en retard
ma sœur habite près du port
nous avons fermé toutes les fenêtres
la boulangerie ouvre à six heures
le vieux chien dort sous la table
la ville construit un nouveau pont sur le fleuve
personne ne savait pourquoi la lampe brûlait encore
les enfants jouent dans la cour derrière l'école
le contrat a été signé après de longues discussions
le prix du pain et du lait augmente encore
j'ai laissé la clé chez les voisins
"""

_SPANISH = """
quizás
ayer
anoche mismo
pese al frío
el tren llega tarde
mi hermana vive cerca del puerto
hemos cerrado todas las ventanas
la panadería abre a las seis
el perro viejo duerme debajo de la mesa
la ciudad construye un puente nuevo sobre el río
nadie sabía por qué la lámpara seguía encendida
los niños juegan en el patio detrás de la escuela
firmaron el contrato después de largas negociaciones
el pan y la leche han vuelto a subir
he dejado la llave en casa de los vecinos
"""

_ITALIAN = """
forse
ieri sera
malgrado la pioggia
il treno è in ritardo
mia sorella abita vicino al porto
abbiamo chiuso tutte le finestre
il vecchio cane dorme sotto il tavolo
la città costruisce un nuovo ponte sul fiume
nessuno sapeva perché la lampada fosse ancora accesa
i bambini giocano nel cortile dietro la scuola
ho lasciato la chiave dai vicini
"""

_DUTCH = """
misschien
gisteren nog
ondanks de regen
de trein heeft vertraging
mijn zus woont vlak bij de haven
we hebben alle ramen dichtgedaan
de oude hond slaapt onder de tafel
de stad bouwt een nieuwe brug over de rivier
niemand wist waarom de lamp nog brandde
de kinderen spelen op het plein achter de school
ik heb de sleutel bij de buren gelaten
"""

_PORTUGUESE = """
talvez
ontem à noite
apesar da chuva
o comboio está atrasado
a minha irmã mora perto do porto
fechámos todas as janelas
o cão velho dorme debaixo da mesa
a cidade constrói uma ponte nova sobre o rio
ninguém sabia porque a lâmpada ainda estava acesa
as crianças brincam no pátio atrás da escola
deixei a chave em casa dos vizinhos
"""

_SWEDISH = """
kanske
igår kväll
trots allt regn
tåget är försenat
min syster bor nära hamnen
vi har stängt alla fönster
den gamla hunden sover under bordet
staden bygger en ny bro över floden
ingen visste varför lampan fortfarande lyste
barnen leker på gården bakom skolan
jag lämnade nyckeln hos grannarna
"""

CLAUSES: dict[str, tuple[str, ...]] = {
    language: tuple(clauses.strip().splitlines())
    for language, clauses in {
        "de": _GERMAN,
        "en": _ENGLISH,
        "fr": _FRENCH,
        "es": _SPANISH,
        "it": _ITALIAN,
        "nl": _DUTCH,
        "pt": _PORTUGUESE,
        "sv": _SWEDISH,
    }.items()
}
