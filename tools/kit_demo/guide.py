"""Writes the tables of docs/for-families.md and docs/for-families.zh.md: what the light says, in their words.

python -m tools.kit_demo.guide
"""

from pathlib import Path

from tools import build
from tools.boards import signals

FROM, TO = "<!-- from here on made by python -m tools.kit_demo.guide -->\n", "<!-- to here -->\n"
HEADS = {
    "for-families.md": "| the light | what it means | what to do |\n|---|---|---|\n",
    "for-families.zh.md": "| 指示灯 | 含义 | 怎么办 |\n|---|---|---|\n",
}
COLOURS = {"green": "绿光", "blue": "蓝光", "violet": "紫光", "white": "白光"}
COUNTS: dict[str, str] = dict(
    zip(signals.NUMBERS, ("零", "一", "两", "三", "四", "五", "六", "七"), strict=True)
)
# Where a family's words are others than those of docs/signals.md.
ENGLISH = {
    "UNPAIRED": ("It is new, and belongs to nobody yet", "do steps 2 and 3"),
    "PAIRED": ("It belongs to this flat now", "nothing"),
    "UPDATING": ("It takes a new version of its program", "leave it switched on"),
    "WIFI_PASSWORD": ("The Wi-Fi password is wrong", "do step 2 again, with the right password"),
    "SEARCHING": ("It looks for its agent", "wait a minute"),
}
CHINESE = {
    "OK": ("测到的数据已全部送达", "不用做什么"),
    "MEASURING": ("正在测量，之前存下的数据还在发送", "不用做什么"),
    "SEARCHING": ("正在寻找接收盒", "等一分钟"),
    "UNPAIRED": ("它是新的，还不属于任何人", "做第 2、3 步"),
    "PAIRED": ("它现在属于这个家了", "不用做什么"),
    "STORING": (
        "超过一分钟找不到接收盒：数据先存着，以后再送",
        "几小时内不用管；之后看看接收盒是否开着、是否离得够近",
    ),
    "CHARGE": ("电量低于 30 %；低到 20 % 就会报警", "充电（先取下电极片）"),
    "HELP": ("某个部件有问题：传感器或存储器", "关掉再打开；还不行，请问给您套件的人"),
    "WIFI_PASSWORD": ("Wi-Fi 密码不对", "重做第 2 步，输入正确的密码"),
    "WIFI_NOT_FOUND": ("收不到 Wi-Fi 信号", "放近一些，打开路由器；路由器开着的话，看看有没有 2.4 GHz 网络"),
    "WIFI_5GHZ": ("这个网络是 5 GHz 的，它收不到", "在路由器上打开 2.4 GHz"),
    "WIFI_HIDDEN": ("网络隐藏了名称，按这个名称没有找到", "检查名称的拼写，注意大小写"),
    "WIFI_PORTAL": ("这个网络要先填写网页（像酒店那样）", "换一个网络：套件不会填网页"),
    "WIFI_DHCP": ("路由器没有给它地址", "关掉路由器再打开"),
    "NO_AGENT": ("网络是通的，但里面找不到接收盒", "看看接收盒是否开着、是否在同一个网络"),
    "PROVISIONING": ("正在试刚给它的网络", "等半分钟"),
    "UPDATING": ("正在更新软件", "不要断电"),
    "IDENTIFY": ("有人在问是哪一台：就是这一台", "不用做什么"),
}


def table(name: str) -> str:
    """The table of the guide of that name."""
    return HEADS[name] + "".join(_row(name, state) for state in signals.states())


def _row(name: str, state: signals.State) -> str:
    if name.endswith(".zh.md"):
        colour, _, how = state.seen.partition(", ")
        light = COLOURS[colour] + ("常亮" if how == "constant" else f"闪{COUNTS[how.split()[0]]}下")
        return f"| {light} | {' | '.join(CHINESE[state.name])} |\n"
    means, to_do = ENGLISH.get(state.name, (state.words.means, state.words.to_do))
    return f"| {state.seen} | {means} | {to_do} |\n"


def page(path: Path) -> str:
    """The guide with its table as it is now."""
    before, _, rest = path.read_text("utf-8").partition(FROM)
    _, end, after = rest.partition(TO)
    if not end:
        raise SystemExit(f"{path} has lost the marks between which the table stands")
    return before + FROM + table(path.name) + TO + after


def main() -> None:
    """Write both."""
    for name in HEADS:
        path = build.ROOT / "docs" / name
        path.write_text(page(path), "utf-8")
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
