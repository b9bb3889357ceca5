"""Words for good and for defective, in columns of tables and names of folders, as factories write them."""

from __future__ import annotations

import re
import unicodedata

GOOD_WORDS = ("good", "normal", "ok", "pass", "0", "false")
DEFECTIVE_WORDS = (
    "defective",
    "defect",
    "bad",
    "anomalous",
    "anomaly",
    "abnormal",
    "ng",
    "nok",
    "ko",
    "fail",
    "1",
    "true",
)
"""The words that messages list; numbers and truth values say nothing as names of folders."""

_MORE_GOOD = (
    "goods, okay, passed, accept, accepted, conforming, healthy, nodefect, nodefects, defectfree, nondefective, "
    "io, gut, gutteil, gutteile, fehlerfrei, inordnung, bon, bonne, bons, conforme, conformes, sansdefaut, "
    "buono, buoni, bueno, buenos, bien, sindefecto, bom, bons, boa, semdefeito, goed, dobry, dobre, bezwad, "
    "iyi, saglam, годен, годные, норма, хороший, 良品, 合格, 合格品, 正常, 良, 양품, 정상, 합격"
)
_MORE_DEFECTIVE = (
    "defects, defectives, anomalies, failed, failure, failures, reject, rejects, rejected, faulty, fault, faults, "
    "scrap, notok, nook, notgood, nogood, nonconforming, nonconformity, damaged, "
    "nio, nichtinordnung, schlecht, schlechtteil, schlechtteile, fehler, fehlerhaft, defekt, defekte, ausschuss, "
    "mauvais, mauvaise, defaut, defauts, defectueux, nonconforme, nonconformes, rebut, rebuts, "
    "difetto, difetti, difettoso, difettosi, scarto, scarti, malo, malos, defecto, defectos, defectuoso, defectuosos, "
    "noconforme, rechazo, rechazado, rechazados, ruim, defeito, defeitos, defeituoso, naoconforme, refugo, "
    "fout, slecht, afkeur, wada, wady, wadliwy, zly, vadny, hatali, kusurlu, брак, дефект, дефекты, "
    "不良, 不良品, 不合格, 不合格品, 異常, 异常, 缺陷, 瑕疵, 欠陥, 불량, 불량품, 비정상, 불합격"
)


def is_defective_word(text: str) -> bool | None:
    """Whether a label says defective (True) or good (False); None for any other word.

    Capitals, accents, blanks and punctuation do not matter: "N.i.O.", "not_ok" and "Défaut" are known.

    Example:
        >>> is_defective_word("NG"), is_defective_word("i.O."), is_defective_word("scratch")
        (True, False, None)
    """
    word = _bare(text) if any(map(str.isalpha, text)) else text.strip()
    return True if word in _DEFECTIVE else False if word in _GOOD else None


def is_defective_folder(name: str) -> bool | None:
    """The same for the name of a folder, which may have a number behind it, such as NG_2, but not be one.

    Example:
        >>> is_defective_folder("NG_2"), is_defective_folder("OK"), is_defective_folder("1")
        (True, False, None)
    """
    word = _bare(name).rstrip("0123456789")
    return None if word in ("true", "false") else is_defective_word(word)


_STROKES = {0x131: "i", 0x142: "l"}
"""Letters of Turkish and Polish that no decomposition makes plain."""


def _bare(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.casefold().translate(_STROKES))
    plain = "".join(letter for letter in letters if unicodedata.category(letter) != "Mn")
    return unicodedata.normalize("NFC", re.sub(r"[\W_]+", "", plain))


_GOOD = frozenset(map(_bare, (*GOOD_WORDS, *_MORE_GOOD.split(", "))))
_DEFECTIVE = frozenset(map(_bare, (*DEFECTIVE_WORDS, *_MORE_DEFECTIVE.split(", "))))
