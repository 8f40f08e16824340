"""A program that tries the advice for Django's objects, in a process of its own: Django is configured once for each."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    LANGUAGE_CODE="de",
    USE_I18N=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    SECRET_KEY="x",
)
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402
from django.core.files.uploadedfile import SimpleUploadedFile  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import QueryDict  # noqa: E402
from django.utils.datastructures import MultiValueDict  # noqa: E402
from django.utils.functional import SimpleLazyObject  # noqa: E402
from django.utils.safestring import SafeString, mark_safe  # noqa: E402
from django.utils.translation import gettext_lazy, ngettext_lazy, override  # noqa: E402
from support.advice import Case, check, expressions, message  # noqa: E402

from wsgisession import JSONCodec  # noqa: E402

CODEC = JSONCodec()


class Item(models.Model):
    """Something with columns of many types."""

    name = models.CharField(max_length=20)
    price = models.DecimalField(max_digits=6, decimal_places=2)
    added = models.DateTimeField(auto_now_add=True)
    photo = models.FileField()

    class Meta:
        app_label = "shop"


with connection.schema_editor() as editor:
    for model in (
        models for models in (User._meta.apps.get_model("contenttypes", "ContentType"), Group, User, Item)
    ):
        editor.create_model(model)
Item.objects.create(name="tea", price=Decimal("2.50"), photo="tea.png")
Item.objects.create(name="cup", price=Decimal("7.00"), photo="cup.png")
ADA = User.objects.create_user("ada")


def form() -> QueryDict:
    return QueryDict("tag=a&tag=b&name=Ada")


def in_a_form(plain: dict[str, list[str]]) -> MultiValueDict[str, str]:
    return MultiValueDict(plain)


def by_id(plain: list[Any]) -> list[Item]:
    return sorted(Item.objects.in_bulk(plain).values(), key=lambda item: item.pk)


def items() -> Any:
    return Item.objects.order_by("pk")


CASES = {
    "translation": Case(lambda: gettext_lazy("Monday"), (lambda plain: plain,), str),
    "translation of a number": Case(
        lambda: ngettext_lazy("%(count)d day", "%(count)d days", "count"),
        (lambda plain: plain,),
        lambda text: text % {"count": 3},
        {"values": {"count": 3}},
    ),
    "form": Case(form, (in_a_form,), lambda data: MultiValueDict(data)),
    "multi-value dict": Case(lambda: MultiValueDict({"a": ["1", "2"], "b": []}), (MultiValueDict,)),
    "safe text": Case(lambda: mark_safe("<b>"), (SafeString,)),
    "model": Case(lambda: Item.objects.get(name="tea"), (lambda plain: Item.objects.get(pk=plain),)),
    "file of a model": Case(
        lambda: Item.objects.get(name="tea").photo, (lambda plain: Item(photo=plain).photo,), None
    ),
    "query set": Case(items, (lambda plain: [Item(**row) for row in plain], by_id), list),
    "manager": Case(
        lambda: Item.objects,
        (lambda plain: [Item(**row) for row in plain], by_id),
        lambda all_: list(all_.all()),
    ),
    "related": Case(lambda: ADA.groups, (list, list), lambda groups: list(groups.all())),
}

with override("de"):
    assert str(gettext_lazy("Monday")) == "Montag"
    for case in CASES.values():
        check(case, CODEC)
lazy = message(SimpleLazyObject(lambda: ADA), CODEC)
assert "such as x.pk" in lazy and not expressions(lazy)
assert "under which the file was saved" in message(SimpleUploadedFile("a.txt", b"a"), CODEC)
print(*CASES, sep="\n")
