"""Whether two nearly equal prompts ask the same: a number, a sign, a negation or a name makes another question of it.

Takes two texts, hands on a verdict. In doubt it says that they do not: a copy that stays costs a little money, a question
that is lost is never taught. Names are known by how they are written, for there is no dictionary here: by capitals, and
where a text or a script has none, by one word standing in the place of another. Standard library only.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from airflow_distill.stages.dataset.words import exact_form, folded_words

_DENYING = """
no not never none nor neither cannot cant dont doesnt didnt wont isnt arent wasnt without nothing nobody non
nicht kein keine keinen keinem keiner keines nie niemals ohne weder nichts
ne pas jamais aucun aucune sans ni rien
nunca jamás ningún ninguna ninguno sin tampoco nada
não nem nenhum nenhuma sem mai nessun nessuno nessuna senza
niet geen nooit zonder bez nigdy žádný nikdy inte ingen aldrig utan ikke uden ei ilman
не нет ни никогда без нельзя ні немає
değil yok hayır asla hiç
لا ليس ليست لن لم غير بدون ما
לא אין בלי אל
नहीं नही मत न बिना না নয় নেই இல்லை లేదు
không chưa đừng chẳng tidak bukan jangan belum tanpa
δεν μην όχι ποτέ χωρίς
안 못 없 않 不 没 無 无 未 非 别 勿 莫 沒 否
"""
NEGATIONS = frozenset(_DENYING.split())
_CONTRACTED = re.compile(r"n[’']t(?!\w)|(?<!\w)n[’'](?=\w)", re.IGNORECASE)
_NEGATED = re.compile("ない|なかった|なく|ません|아니|ไม่|មិន|ບໍ່")
_NEGATING = ("un", "in", "im", "il", "ir", "dis", "non", "mis", "anti")

_RIVALLING = """
on off
before after until since during avant après antes después depois vor nach prima dopo voor na до после önce sonra przed po
increase decrease raise lower reduce
increased decreased raised lowered reduced
increasing decreasing raising lowering reducing
erhöhen senken verringern
augmenter diminuer réduire
aumentar disminuir reducir diminuir reduzir aumentare diminuire ridurre
увеличить уменьшить снизить
artırmak azaltmak
minimum maximum average min max mean median
ascending descending
aufsteigend absteigend
croissant décroissant
ascendente descendente crescente decrescente
open close
opened closed
öffnen schließen
ouvrir fermer
abrir cerrar fechar
openen sluiten
aan uit
kopen verkopen
открыть закрыть
açmak kapatmak
enable disable
activate deactivate
aktivieren deaktivieren
activer désactiver
activar desactivar ativar desativar
включить выключить
add remove delete update
hinzufügen entfernen löschen
ajouter supprimer enlever
agregar añadir eliminar quitar borrar adicionar remover excluir
добавить удалить
start stop pause resume end
buy sell rent
kaufen verkaufen
acheter vendre
comprar vender
купить продать
first last second third next previous
left right
up down
above below
over under
more less fewer
mehr weniger
plus moins
más menos mais
больше меньше
higher lower
high low
most least
best worst
better worse
import export
upload download
send receive
deposit withdraw
credit debit
cheapest dearest
cheap expensive
accept reject decline
allow forbid block
encode decode
encrypt decrypt
positive negative
add subtract multiply divide
win lose
arrive depart
arrival departure
north south east west
inside outside
inbound outbound
morning afternoon evening night
today tomorrow yesterday
heute morgen gestern
aujourd'hui demain hier
hoy mañana ayer
hoje amanhã ontem
oggi domani ieri
сегодня завтра вчера
bugün yarın dün
vandaag morgen gisteren
idag imorgon igår
dziś dzisiaj jutro wczoraj
early late
earlier later
old new
hot cold
big small
large small
male female
adult child
true false
weekly monthly yearly daily annually quarterly hourly
täglich wöchentlich monatlich jährlich
monday tuesday wednesday thursday friday saturday sunday
lundi mardi mercredi jeudi vendredi samedi dimanche
lunes martes miércoles jueves viernes sábado domingo
понедельник вторник среда четверг пятница суббота воскресенье
january february march april may june july august september october november december
km kg miles pounds celsius fahrenheit kelvin
kilograms grams
euros dollars yen
"""
_RIVALS: dict[str, set[int]] = {}
"""Word -> the lines above that it stands in; two words of one line shut each other out."""
for _number, _line in enumerate(_RIVALLING.strip().split("\n")):
    for _each in _line.split():
        _RIVALS.setdefault(_each, set()).add(_number)

_TURKISH_NOT = re.compile(r"\w{1,24}?(?:[ae]m[ae]|m[ae]z|m[ıiuü]yor|m[ae]d[ıi]|m[ae]y[ae]c)")
"""Turkish denies inside its verbs."""

_OFTEN = """
a an the i i'm my we our you your he she it they this that these those there here what which who whom whose when where why
how if is are was were am be do does did can could will would shall should may might must have has had and or but please
hi hello hey dear thanks thank good morning afternoon evening ok okay yes no not also so just really very
der die das ein eine ich mein meine wir was wer wie wo wann warum ist sind kann können bitte hallo danke guten tag
le la les un une des je mon ma nous que qui quoi comment où quand pourquoi est sont peut bonjour merci salut
el los las uno una yo mi qué quién cómo dónde cuándo por favor hola gracias es son puede
o os um uma eu meu minha quem como onde quando porque é são pode olá obrigado obrigada
il lo gli io mio mia che chi come dove perché può ciao grazie prego
de het een ik mijn wat wie hoe waar wanneer waarom dank alstublieft
я мой моя мы что кто как где когда почему есть можно привет спасибо пожалуйста здравствуйте
"""
_COMMON = frozenset(_OFTEN.split())
"""Words that are no names although a sentence may begin with them."""

_EDGES = ".,;:!?…¿¡。，、！？؟\"'“”„«»‘’()[]{}<>*"
_SHOUTED = 0.6


def ask_the_same(one: str, other: str) -> bool:
    """Say whether two nearly equal texts ask the same, as far as numbers, signs, negations and names tell.

    >>> ask_the_same("Where is my new card?", "Where is my new card please")
    True
    >>> ask_the_same("Refund order 1234", "Refund order 1235")
    False
    """
    left, right = _telling(one), _telling(other)
    if (left.signs, left.negations) != (right.signs, right.negations):
        return False
    if _in_order(left, right) != _in_order(right, left):
        return False
    gone, come = Counter(left.words) - Counter(right.words), Counter(right.words) - Counter(left.words)
    if not gone and not come:
        return left.words == right.words
    if gone and come:
        return not (
            (left.is_caseless and right.is_caseless)
            or (_without_case(gone) and _without_case(come))
            or _one_denies(gone, come)
            or _shut_out(gone, come)
        )
    changed = gone + come
    return not _NEGATED.search("".join(word for word in left.words + right.words if word in changed))


@dataclass(frozen=True, slots=True)
class _Telling:
    """What of a text tells it from its near copies.

    `chunks` are what stands between white space, in exact form; `names` those that are written like names;
    `is_caseless` where a text is written in small or in capital letters throughout, so that none can be.
    """

    words: list[str]
    signs: list[str]
    negations: Counter[str]
    chunks: list[str]
    names: frozenset[str]
    is_caseless: bool


def _telling(text: str) -> _Telling:
    words = folded_words(text)
    written = [chunk for chunk in (part.strip(_EDGES) for part in text.split()) if chunk]
    capitals = sum(chunk[0].isupper() for chunk in written)
    letters = sum(map(str.isalpha, text))
    shouted = letters and sum(map(str.isupper, text)) > _SHOUTED * letters
    titled = len(written) > 3 and capitals > _SHOUTED * len(written)
    caseless = not capitals or bool(shouted) or titled
    chunks = [exact_form(chunk) for chunk in written]
    return _Telling(
        words,
        [word for word in words if _is_number_or_sign(word)],
        Counter([word for word in words if word in NEGATIONS] + ["n't"] * len(_CONTRACTED.findall(text))),
        chunks,
        frozenset(
            form
            for form, chunk in zip(chunks, written, strict=True)
            if _is_identifier(chunk) or (not caseless and _is_name(chunk, form))
        ),
        caseless,
    )


def _in_order(text: _Telling, other: _Telling) -> list[str]:
    """Return the names that either text has, in the order of this one."""
    return [chunk for chunk in text.chunks if chunk in text.names or chunk in other.names]


def _is_number_or_sign(word: str) -> bool:
    return word[-1] in "+#" or not any(map(str.isalpha, word)) or any(map(str.isdigit, word))


def _is_identifier(chunk: str) -> bool:
    """Say whether a word is one of programs: with a digit, an underscore, or a dot, slash or at sign inside."""
    return chunk.isascii() and any(c.isdigit() or c in "_./@\\" for c in chunk)


def _is_name(chunk: str, form: str) -> bool:
    """Say whether a word is written like a name; what has letters without capitals is a sentence without spaces."""
    if form in _COMMON or not any(map(str.isupper, chunk)):
        return False
    return not any(c.isalpha() and c.lower() == c.upper() for c in chunk)


def _without_case(words: Counter[str]) -> bool:
    """Say whether there are words of a script that has no capitals."""
    return any(word == word.upper() and any(map(str.isalpha, word)) for word in words)


def _shut_out(gone: Counter[str], come: Counter[str]) -> bool:
    """Say whether a word stands in the place of one that it shuts out, as `before` and `after`."""
    lines = [{line for word in words for line in _RIVALS.get(word, ())} for words in (gone, come)]
    return bool(lines[0] & lines[1])


def _one_denies(gone: Counter[str], come: Counter[str]) -> bool:
    """Say whether a word stands in the place of its opposite, as `valid` and `invalid`."""
    if any(
        prefix + word in other
        for one, other in ((gone, come), (come, gone))
        for word in one
        for prefix in _NEGATING
    ):
        return True
    denied = [{word[:2] for word in words if _TURKISH_NOT.match(word)} for words in (gone, come)]
    if denied[0] == denied[1]:
        return False
    stems = {word[:2] for word in gone} & {word[:2] for word in come}
    return bool((denied[0] ^ denied[1]) & stems)
