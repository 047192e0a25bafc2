"""What the site knows, with SQLAlchemy: accounts, who is signed in, payments."""

from __future__ import annotations

import re
import secrets

from sqlalchemy import ForeignKey, NullPool, create_engine, delete, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from examples import passwords

LOGIN_SECONDS = 12 * 3600

_AMOUNT = re.compile(r"([0-9]{1,5})(?:[.,]([0-9]{1,2}))?")


class Base(DeclarativeBase):
    """The tables."""


class Account(Base):
    """A person. `phone` is E.164, `joined` Unix seconds; a `keeper` may enter the keepers' room."""

    __tablename__ = "accounts"

    name: Mapped[str] = mapped_column(primary_key=True)
    password: Mapped[str]
    email: Mapped[str]
    phone: Mapped[str]
    keeper: Mapped[bool] = mapped_column(default=False)
    joined: Mapped[int]


class SignIn(Base):
    """One login. `id` is 128 random bits made at that login; `began` in Unix seconds."""

    __tablename__ = "sign_ins"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(ForeignKey(Account.name))
    began: Mapped[int]


class Payment(Base):
    """Money that left an account; `at` in Unix seconds."""

    __tablename__ = "payments"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(ForeignKey(Account.name))
    payee: Mapped[str]
    cents: Mapped[int]
    at: Mapped[int]


def open_database(url: str) -> sessionmaker[Session]:
    """The sessions of a database, whose tables are made where they are missing."""
    engine = create_engine(url, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def wait_for_writers(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA busy_timeout = 5000")
        cursor.close()

    Base.metadata.create_all(engine)
    return sessionmaker(engine, expire_on_commit=False)


def register(db: Session, name: str, password: str, email: str, phone: str, *, at: int, keeper: bool = False) -> bool:
    """A new account; False where the name is taken."""
    if db.get(Account, name) is not None:
        return False
    db.add(Account(name=name, password=passwords.hashed(password), email=email, phone=phone, keeper=keeper, joined=at))
    db.commit()
    return True


def knows(db: Session, name: str, password: str) -> bool:
    """Whether name and password belong together."""
    account = db.get(Account, name)
    return passwords.matches(password, account.password) if account else passwords.matches_nobody(password)


def begin_sign_in(db: Session, name: str, at: int) -> str:
    """The id of a new login."""
    db.execute(delete(SignIn).where(SignIn.began < at - LOGIN_SECONDS))
    sign_in = SignIn(id=secrets.token_urlsafe(16), name=name, began=at)
    db.add(sign_in)
    db.commit()
    return sign_in.id


def signed_in(db: Session, sign_in_id: str, at: int) -> Account | None:
    """Whose login that is, while it lasts."""
    found = db.get(SignIn, sign_in_id)
    return db.get(Account, found.name) if found and found.began >= at - LOGIN_SECONDS else None


def end_sign_in(db: Session, sign_in_id: str) -> None:
    """End a login, in every copy of its cookie."""
    db.execute(delete(SignIn).where(SignIn.id == sign_in_id))
    db.commit()


def pay(db: Session, name: str, payee: str, cents: int, at: int) -> str:
    """A payment is made; its id."""
    payment = Payment(id=secrets.token_urlsafe(9), name=name, payee=payee, cents=cents, at=at)
    db.add(payment)
    db.commit()
    return payment.id


def payments_of(db: Session, name: str) -> list[Payment]:
    """What this account has paid, newest first."""
    return list(db.scalars(select(Payment).where(Payment.name == name).order_by(Payment.number.desc()).limit(20)))


def accounts(db: Session) -> list[Account]:
    """Everybody, in the order in which they joined."""
    return list(db.scalars(select(Account).order_by(Account.joined, Account.name).limit(100)))


def read_amount(text: str) -> int | None:
    """An amount as people type it ("12", "12.50", "12,5") in cents, 10,000 at most; None for anything else."""
    written = _AMOUNT.fullmatch(text.strip())
    if written is None:
        return None
    cents = int(written[1]) * 100 + int((written[2] or "").ljust(2, "0"))
    return cents if 0 < cents <= 1_000_000 else None
