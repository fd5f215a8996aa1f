from data.queries.labels import differing
from engine.study.spec import Study, parse_study


def made(**changes: object) -> Study:
    return parse_study({"name": "made", "datasets": ["digits"], "networks": ["lenet300"], **changes})


def test_equal_recipes_need_no_words() -> None:
    assert differing({"a": made(), "b": made(name="other", seeds=[7], learning_rates=[0.5])}) == {"a": "", "b": ""}
    assert differing({}) == {}


def test_only_what_differs_is_named_for_every_study() -> None:
    told = differing({"a": made(recipe={"epochs": 100}), "b": made(recipe={"epochs": 150, "weight_decay": 0.01})})
    assert told == {"a": "T 100, weight decay 0.0005", "b": "T 150, weight decay 0.01"}


def test_limits_of_images_and_precision_are_told() -> None:
    told = differing({"a": made(train_images=500), "b": made(recipe={"precision": "bf16"})})
    assert told == {"a": "fp32, 500 training images", "b": "bf16, all training images"}


def test_k_is_told_where_a_study_chose_it_and_not_where_it_follows_from_t() -> None:
    assert differing({"a": made(recipe={"epochs": 30}), "b": made(recipe={"epochs": 150})})["a"] == "T 30"
    told = differing({"a": made(), "b": made(recipe={"rewind_epoch": 5})})
    assert told == {"a": "k 10", "b": "k 5"}


def test_admm_counts_only_where_it_prunes() -> None:
    admm = {"pruners": ["admm"], "admm": {"rounds": 4}}
    assert set(differing({"a": made(), "b": made(**admm)}).values()) == {""}
    told = differing({"a": made(pruners=["admm"]), "b": made(**admm)})
    assert told == {"a": "ADMM 10 rounds of 3 epochs", "b": "ADMM 4 rounds of 3 epochs"}


def test_each_kind_of_admm_tells_its_own_rho_alone() -> None:
    growing = {"a": made(pruners=["admm"]), "b": made(pruners=["admm"], admm={"rho_start": 1e-4})}
    assert differing(growing) == {"a": "ADMM ρ from automatic", "b": "ADMM ρ from 0.0001"}
    constant = {"a": made(pruners=["admm_constant"]), "b": made(pruners=["admm_constant"], admm={"rho": 0.05})}
    assert differing(constant) == {"a": "constant ADMM ρ automatic", "b": "constant ADMM ρ 0.05"}
    assert set(differing({"a": growing["a"], "b": constant["b"]}).values()) == {""}
