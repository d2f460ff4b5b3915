// Made by TALLYBOX_BLESS=1 from src/ipc/incident.rs: what happened, impact, what was done, what to do.
export const en = {
  "ledger-mismatch": [
    "The ledger does not verify, is older than what the box has signed, or is gone.",
    "What the box recorded about sessions may be changed or missing.",
    "Recording was ended, and none starts until the cause is gone.",
    "Keep the box as it is, compare its ledger with the platform's archive, then replace the ledger.",
  ],
  "program-changed": [
    "A program of the box is not the one that its package installed.",
    "The box may not keep to what staff agreed to.",
    "Recording was ended, and none starts until the cause is gone.",
    "Find out who changed it, then install the package again.",
  ],
  "unit-changed": [
    "A service unit of the box is not the one that its package installed.",
    "A program may be allowed more than it should be.",
    "The lamp flashes twice every 5 s on an idle box until somebody touches the button.",
    "See which file it is with tallybox status, then install the package again.",
  ],
  "clock-rolled-back": [
    "The clock went back although it had been right.",
    "Times before and after do not fit together; the order of entries does.",
    "The lamp flashes twice every 5 s on an idle box until somebody touches the button.",
    "See who can set the clock, and whether its time server can be trusted.",
  ],
  "case-opened": [
    "The case is open, or its switch has no contact.",
    "Somebody may reach the camera, the lamp or the storage.",
    "Recording was ended, and none starts until the cause is gone.",
    "Look at the box, then close the case.",
  ],
  "repeated-refusals": [
    "Many commands or local connections were refused in a short time.",
    "Somebody may try to take over the box. None of what was refused took effect.",
    "The lamp flashes twice every 5 s on an idle box until somebody touches the button.",
    "See the refused commands in the ledger, and who may publish to the box at the broker.",
  ],
};
export const zh = {
  "ledger-mismatch": [
    "账本校验不通过、比盒子已签名的内容更旧，或已丢失。",
    "关于采集场次的记录可能被改动或缺失。",
    "已停止采集；原因消除之前不会再开始。",
    "保持盒子现状，与平台存档比对账本，然后更换账本。",
  ],
  "program-changed": [
    "盒子的程序与安装包所装的不一致。",
    "盒子可能不再遵守店员同意的内容。",
    "已停止采集；原因消除之前不会再开始。",
    "查明改动人，然后重新安装软件包。",
  ],
  "unit-changed": [
    "盒子的服务单元文件与安装包所装的不一致。",
    "某个程序可能获得了不应有的权限。",
    "盒子空闲时指示灯每 5 秒闪两下，直到有人触碰按钮。",
    "用 tallybox status 查看是哪个文件，然后重新安装软件包。",
  ],
  "clock-rolled-back": [
    "原本准确的时钟被往回拨。",
    "前后时间对不上；记录的先后顺序不受影响。",
    "盒子空闲时指示灯每 5 秒闪两下，直到有人触碰按钮。",
    "查明谁能设置时钟，以及时间服务器是否可信。",
  ],
  "case-opened": [
    "机壳被打开，或机壳开关没有接通。",
    "有人可能接触到摄像头、指示灯或存储卡。",
    "已停止采集；原因消除之前不会再开始。",
    "检查盒子，然后合上机壳。",
  ],
  "repeated-refusals": [
    "短时间内有大量命令或本机连接被拒绝。",
    "可能有人试图控制盒子。被拒绝的内容均未生效。",
    "盒子空闲时指示灯每 5 秒闪两下，直到有人触碰按钮。",
    "在账本中查看被拒绝的命令，并检查消息服务器上谁可以向盒子发布消息。",
  ],
};
