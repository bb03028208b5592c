"""Whether an answer is a model's refusal to answer, told from an answer that says no.

Takes an answer, hands on a verdict. A shop's "We cannot refund after 30 days, but you can exchange it" is the task; "I'm
sorry, but I can't help with that" teaches nothing. What tells them apart: a refusal begins the answer, speaks as the
model ("I", not "we"), names what it will not do in general ("that", "this request", "medical advice") and offers no
other way in the same sentence. Standard library only; texts longer than `REFUSAL_LENGTH` are never refusals.
"""

from __future__ import annotations

import re

REFUSAL_LENGTH = 600

_SORRY = (
    r"(?:(?:(?:i['’]?m|i am|we['’]?re|we are)\s+(?:(?:very|so|really|truly|terribly|deeply)\s+)?(?:sorry"
    r"|afraid)\b"
    r"|(?:i\s+)?(?:sincerely\s+)?apologi[sz]e\b|my apologies\b|sorry\b|unfortunately\b)[\s,.:;!—-]{0,4}"
    r"(?:but\s+|that\s+|however,?\s+)?)"
)
_AS_AN_AI = r"(?:as an? (?:ai|artificial intelligence|(?:large )?language model)[\w ,-]{0,40}?,?\s+)"
_CANNOT = (
    r"(?:i\s+(?:can(?:no|['’])t|cannot|can not|could not|(?:am|was) (?:not able|unable) to|will not|won['’]t"
    r"|am not going to|do(?:n['’]t| not) have the ability to)"
    r"|i['’]m (?:not able|unable|not going) to|i['’]m (?:just )?an ai[\w ,]{0,40}? and (?:can(?:no|['’])t"
    r"|cannot))"
    r"\s+(?:(?:be able to|in good conscience|currently|\w{2,12}ly)\s+){0,2}"
)
_REFUSING = (
    r"(?:help|assist|answer|comply|fulfil+|satisfy|discuss|engage|do|respond|support|continue|participate"
    r"|take part"
    r"|accommodate|condone|promote|encourage|endorse|facilitate|be of (?:help|assistance))\b"
)
_GIVING = r"(?:provide|share|give|offer|write|generate|create|process|complete|produce|recommend|describe|explain|tell)\b"
_GENERAL = (
    r"\s+(?:(?:you|with|on|to|in|as|about|for|out|any|any of|any kind of|specific|further|detailed)\s+){0,4}"
    r"(?:requests? (?:that|which|for|to|of|involving|like)\b"
    r"|that|this|it|these|those|such|(?:your|the|any|such) (?:requests?|questions?|query|prompt)"
    r"|questions? (?:about|on|of|related)|(?:discussions?|conversations?)\b"
    r"|(?:medical|legal|financial|tax|investment|personal|professional|health|political)\b[\w, ]{0,40}"
    r"|(?:instructions|guidance|content|material|information|advice|assistance|help) (?:on|about|that|for"
    r"|of|regarding|with|related)\b"
    r"|[\w -]{0,30}(?:illegal|harmful|explicit|malware|weapons?|violence|hate|unethical|dangerous)\b)"
)
_DECLINE = (
    r"(?:i\s+(?:must|have to|will have to|respectfully)\s+(?:respectfully\s+)?(?:decline|refuse)"
    r"|i\s+decline\b"
    r"|i(?:\s+am|['’]m)\s+not comfortable|i\s+(?:do not|don['’]t) feel comfortable"
    r"|(?:it|that|this) (?:would be|is|['’]s) (?:inappropriate|unethical|against my)"
    r"|(?:that|this)(?:['’]s| is) (?:not )?something (?:that )?i (?:can(?:no|['’])?t?|am (?:not able"
    r"|unable) to)"
    r" (?:help|assist|answer|discuss|do)"
    r"|the model cannot answer this question)"
)
_OTHER_WAY = re.compile(
    r"(?i)\b(?:but|instead|until|unless|after|before|because|since|without|here;|as (?:the|your|it)"
    r"|so (?:please|you))\b"
)
_ENGLISH_REFUSES = re.compile(
    rf"(?i)\W{{0,5}}{_SORRY}?{_AS_AN_AI}?{_SORRY}?(?:{_DECLINE}|{_CANNOT}"
    rf"(?:{_REFUSING}(?:{_GENERAL}|[.!,]|\s*$)|{_GIVING}{_GENERAL}))"
)
_WE = re.compile(
    rf"(?i)\W{{0,5}}{_SORRY}we\s+(?:can(?:no|['’])t|cannot|are (?:not able|unable) to)\s+(?:help|assist"
    rf"|answer|respond)\b"
    r"\s+(?:you )?(?:with |to )?(?:that|this|your) ?(?:request|question)?[.!]?\s*$"
)

_OTHERS: tuple[tuple[str, str, str], ...] = (
    # sorry, I cannot + verb of helping, but you can
    (
        r"lo siento|lo lamento|disculp\w{1,4}|perd[oó]n\w{0,3}|lamentablemente|desafortunadamente"
        r"|me temo que",
        r"no (?:puedo|me es posible|podr[eé]|soy capaz de|estoy (?:en condiciones|capacitad[oa]"
        r"|autorizad[oa]))\b.{0,60}?"
        r"(?:ayud|asist|respon|contest|proporcion|cumpl|gener|crear|compart|escrib|ofrec|realiz|dar|hacer"
        r"|hablar|continuar)",
        r"\bpero (?:puede|podemos|usted)|\bhasta que\b|\bdespués de\b",
    ),
    (
        r"es tut mir leid|tut mir leid|entschuldig\w{1,6}|leider|ich bedaure|bedauerlicherweise",
        r"(?:(?:ich kann|kann ich|ich darf|darf ich)\b(?=.{0,60}\b(?:nicht|kein))|ich bin nicht in der lage\b).{0,60}?"
        r"(?:helfen|beantworten|antworten|unterst[üu]tzen|nachkommen|erf[üu]llen|bereitstellen|behilflich"
        r"|eingehen|geben|erstellen|schreiben|teilen)",
        r"\baber sie k[öo]nnen\b|\bbevor\b|\bnachdem\b|\bsondern\b",
    ),
    (
        r"(?:je suis )?d[ée]sol[ée]e?|je m['’]excuse|malheureusement|je regrette|toutes mes excuses",
        r"je (?:ne (?:peux|puis|suis)|n['’]ai)\b.{0,60}?(?:aid|assist|r[ée]pond|fourni|partag|g[ée]n[ée]r"
        r"|cr[ée]er|[ée]cri|donn|satisf|faire)",
        r"\bmais vous pouvez\b|\bavant\b|\bapr[èe]s\b|\btant que\b",
    ),
    (
        r"mi dispiace|mi spiace|spiacente|purtroppo|mi scuso",
        r"non (?:posso|sono in grado di|mi è possibile|riesco a)\b.{0,60}?(?:aiut|assist|rispond|forni"
        r"|condivid|gener|cre|scriv|dar|far)",
        r"\bma (?:pu[òo]|puoi|potete)\b|\bprima\b|\bdopo\b",
    ),
    (
        r"(?:eu )?(?:sinto muito|lamento)|desculp\w{1,4}|infelizmente|pe[çc]o desculpas?",
        r"n[ãa]o (?:posso|consigo|sou capaz de|estou apt[oa] a)\b.{0,60}?(?:ajud|auxili|assist|respond"
        r"|fornec|compartilh|ger|cri|escrev|dar|fazer|ofere)",
        r"\bmas (?:voc[êe]|pode)\b|\bantes\b|\bdepois\b",
    ),
    (
        r"het spijt me|sorry|helaas|mijn excuses",
        r"(?:ik kan|kan ik)\b.{0,60}?\b(?:niet|geen)\b.{0,40}?(?:help|beantwoord|antwoord|assist|geven"
        r"|verstrek|bieden|schrijv)",
        r"\bmaar (?:u|je) kunt?\b|\bvoordat\b|\bnadat\b",
    ),
    (
        r"przepraszam|przykro mi|niestety",
        r"nie (?:mog[ęe]|jestem w stanie)\b.{0,60}?(?:pom[óo]|odpowied|udzieli|spe[łl]ni|dostarcz|stworzy"
        r"|napisa)",
        r"\bale mo[żz]e",
    ),
    (
        r"извините|простите|к сожалению|мне жаль|приношу извинения",
        r"я не (?:могу|смогу|в состоянии)\b.{0,60}?(?:помочь|ответить|предоставить|выполнить|обсуждать"
        r"|создать|написать|дать|поделиться)",
        r"но вы можете|\bпока не\b|\bпосле\b",
    ),
    (
        r"üzgünüm|özür dilerim|maalesef|ne yazık ki",
        r".{0,60}?(?:yardımcı olamam|yardım edemem|yanıtlayamam|cevaplayamam|cevap veremem|sağlayamam"
        r"|yapamam|veremem|paylaşamam)",
        r"\bancak\b.{0,40}\bbilirsiniz",
    ),
    (
        r"(?:很|非常|十分)?(?:对不起|抱歉|遗憾|對不起|遺憾)|不好意思",
        r"(?:但)?(?:作为.{0,20}?[，,])?我(?:无法|不能|不可以|没办法|没法|無法|沒辦法).{0,30}?"
        r"(?:帮|回答|提供|协助|满足|完成|讨论|生成|处理|这|那|您|你|幫|協助|滿足|討論|這)",
        r"但您?你?可以",
    ),
    (
        r"(?:大変)?(?:申し訳(?:ございません|ありません|ない)|すみません|すいません|ごめんなさい|恐れ入ります|残念ながら)",
        r".{0,50}?(?:お手伝い|お答え|回答|お応え|提供|対応|協力|支援|お役に立つ|答える|生成).{0,14}?"
        r"(?:できません|できかねます|いたしかねます|致しかねます|ことができません)",
        r"(?:できますが|可能ですので|まで(?:は|お待ち))",
    ),
    (
        r"(?:정말 )?(?:죄송|미안)(?:합니다|해요|하지만)|유감스럽게도|안타깝게도",
        r".{0,50}?(?:도와|도움|답변|대답|제공|응답|지원|수행|작성).{0,14}?(?:수 없|못|어렵|드릴 수 없)",
        r"하지만 .{0,20}수 있습니다",
    ),
    (
        r"عذر[اًا]{1,2}|آسف|أعتذر|نعتذر|معذرة|عفو[اًا]{1,2}|للأسف|مع (?:كل )?الأسف|يؤسفني",
        r".{0,12}?(?:لا (?:أستطيع|يمكنني|أقدر)|لست قادر\w{0,2}|لن أتمكن|غير قادر).{0,60}?(?:مساعد|الإجابة"
        r"|إجابة|تقديم|تنفيذ|تلبية|الرد|كتابة|توفير)",
        r"لكن يمكنك",
    ),
    (
        r"(?:मुझे )?(?:खेद|माफ़?|क्षमा|अफ़?सोस|दुख).{0,14}?",
        r".{0,60}?(?:मदद|सहायता|उत्तर|जवाब|प्रदान|जानकारी).{0,20}?(?:नहीं (?:कर|दे) सक|असमर्थ|नहीं सक)",
        r"लेकिन आप",
    ),
    (
        r"ขออภัย|ขอโทษ|เสียใจด้วย",
        r".{0,20}?(?:ไม่สามารถ|ไม่อาจ).{0,30}?(?:ช่วย|ตอบ|ให้ข้อมูล|ดำเนินการ|สนับสนุน|สร้าง|เขียน)",
        r"แต่คุณสามารถ",
    ),
    (
        r"(?:rất )?(?:xin lỗi|tiếc)|rất tiếc",
        r"(?:nhưng )?(?:tôi|mình) (?:không thể|không được phép).{0,40}?(?:hỗ trợ|giúp|trả lời|cung cấp|thực hiện"
        r"|đáp ứng|viết|tạo)",
        r"nhưng bạn có thể",
    ),
    (
        r"maaf(?:kan)?|mohon maaf|sayangnya",
        r"(?:saya|aku) (?:tidak|tak) (?:dapat|bisa|boleh|mampu).{0,40}?(?:bantu|jawab|beri|sedia|penuhi|buat|tulis)",
        r"\btetapi anda (?:dapat|bisa)",
    ),
    (
        r"(?:jag är |jeg er |jag |jeg )?(?:ledsen|tyvärr|förlåt|beklagar|beklager|undskyld|desværre|dessverre"
        r"|lei for det)",
        r"(?:jag|jeg) kan (?:inte|ikke).{0,40}?(?:hjälp|svara|hjelp|hjælp|svare|tillhandah|assister)",
        r"\bmen (?:du|ni|dere) kan",
    ),
    (
        r"(?:je mi líto|omlouvám se|bohužel|promiňte)",
        r".{0,20}?(?:nemohu|nemůžu|nejsem schop).{0,40}?(?:pomoci|pomoct|odpověd|poskytnout|splnit)",
        r"\bale můžete",
    ),
    (
        r"(?:îmi pare rău|scuze|din păcate|regret)",
        r".{0,12}?nu (?:pot|sunt în măsură).{0,40}?(?:ajut|răspun|ofer|furniz|îndepli|scri)",
        r"\bdar puteți",
    ),
    (
        r"вибачте|перепрошую|на жаль|мені шкода",
        r"я не (?:можу|зможу|в змозі).{0,60}?(?:допомог|відпові|надати|виконати|створити|написати)",
        r"але ви можете",
    ),
    (
        r"(?:λυπάμαι|συγγνώμη|δυστυχώς)",
        r".{0,12}?δεν μπορώ.{0,40}?(?:βοηθήσω|απαντήσω|παράσχω|εκτελέσω)",
        r"αλλά μπορείτε",
    ),
    (
        r"(?:אני )?(?:מצטער\w{0,2}|סליחה|לצערי)",
        r".{0,12}?(?:לא (?:יכול\w{0,2}|ניתן לי)|אין באפשרותי).{0,40}?(?:לעזור|לסייע|לענות|לספק|לבצע)",
        r"אבל (?:אתה|את|אפשר)",
    ),
)
_OTHER_REFUSALS = tuple(
    (
        re.compile(
            rf"\W{{0,5}}(?:{sorry})[\s,.:;!，。、！،-]{{0,6}}(?:\w{{0,8}}[\s,，]{{0,2}}){{0,2}}(?:{cannot})",
            re.IGNORECASE,
        ),
        re.compile(other_way, re.IGNORECASE),
    )
    for sorry, cannot, other_way in _OTHERS
)
_SENTENCE = re.compile(r"[.!?。！？।\n]")


def is_refusal(answer: str) -> bool:
    """Say whether an answer declines to answer.

    >>> is_refusal("I'm sorry, but I can't help with that.")
    True
    >>> is_refusal("I can't share the tracking number here; it is in your shipping mail.")
    False
    """
    if len(answer) > REFUSAL_LENGTH:
        return False
    answer = answer.lstrip()
    return _refuses_in_english(answer) or any(
        (found := refuses.match(answer)) and not other_way.search(_sentence(answer, found.end()))
        for refuses, other_way in _OTHER_REFUSALS
    )


def _refuses_in_english(answer: str) -> bool:
    found = _ENGLISH_REFUSES.match(answer)
    if found is None:
        return _WE.match(answer) is not None
    return not _OTHER_WAY.search(_sentence(answer, found.end()))


def _sentence(answer: str, start: int) -> str:
    """Return what is left of the sentence that a match ends in."""
    end = _SENTENCE.search(answer, start)
    return answer[start : end.start() if end else len(answer)]
