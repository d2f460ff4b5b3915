// 每种账本条目的说明；这里没有的种类按字段显示。
const part = { __proto__: null, lamp: "指示灯", button: "按钮", ledger: "同意账本", power: "供电电压" };
const purpose = { __proto__: null, "on-air": "开播", probe: "测试摄像头和麦克风" };
const by = { __proto__: null, staff: "店员", remote: "平台" };

export default (f) => ({
  unknown: (kind, fields) => (fields ? `${kind}（${fields}）` : kind),
  "guard-started": (e) => `守护进程已启动（${e.software}，政策 ${e["policy-version"]}）。`,
  identified: (e) => `盒子有了新密钥，指纹为 ${e.fingerprint.slice(0, 16)}…。`,
  configured: (e) => `新配置已生效：视频流发往 ${e["ingest-host"]}，消息发往 ${e["broker-host"] ?? "（无消息服务器）"}。`,
  "guard-stopped": () => "守护进程按要求结束。",
  "session-started": (e) => `店员按下按钮：第 ${e.session} 场开始，${e.sound ? "有画面和声音" : "仅画面"}。`,
  "on-air": (e) => `第 ${e.session} 场已开播。`,
  "off-air": (e) => `第 ${e.session} 场与服务器断开：${e.reason}`,
  "encoder-fallback": (e) => `第 ${e.session} 场中编码器 ${e.to} 替换了 ${e.from}：${e.why}`,
  "session-stopped": (e, reason) => `第 ${e.session} 场已结束。${reason(e.reason)}${e.message ? ` ${e.message}` : ""}`,
  "session-cut": (e) => `第 ${e.session} 场中断：守护进程异常退出或断电。`,
  muted: (e) => `${by[e.by] ?? e.by}${e.muted ? "静音了" : "恢复了"}第 ${e.session} 场的声音。`,
  requested: (e) => `已请店员${purpose[e.purpose] ?? e.purpose}。`,
  "request-ended": (e, reason) => `请求结束，无人按下按钮。${reason(e.reason)}`,
  locked: () => "店员锁定了盒子。",
  unlocked: () => "店员解锁了盒子。",
  "policy-pending": (e) => `政策 ${e["policy-version"]} 等待店员确认。`,
  "policy-acknowledged": (e) => `店员确认了政策 ${e["policy-version"]}。`,
  broke: (e) => `${part[e.part] ?? e.part}出现故障。`,
  mended: (e) => `${part[e.part] ?? e.part}恢复正常。`,
  "footage-destroyed": (e) => `未发送的视频已销毁（${f.number(e.files)} 个文件）。`,
  unbound: (e) => `盒子已解除绑定：密钥、凭据和视频均已销毁（${f.number(e.files)} 个文件）。`,
  "command-refused": (e) => `命令 ${e.verb} 被拒绝：${e.why}`,
  "commands-refused": (e) => `另有 ${f.number(e.count)} 条命令被拒绝。`,
  commanded: (e) => `已接受 ${e.key || "未签名发送者"} 的命令 ${e.verb}。`,
  "door-refused": (e) => `用户 ${e.uid} 在守护进程的套接字处被拒绝：${e.why}`,
  "clock-stepped": (e) => `时钟从 ${f.date(Date.parse(e.from))} 被调到 ${f.date(Date.parse(e.to))}。`,
  pruned: (e) => `第 ${e.first} 至 ${e.last} 条在期满后删除。`,
  "entries-lost": (e) => `此处缺少 ${f.number(e.count)} 条：磁盘曾发生故障。`,
  "entries-left-out": (e) => `另有 ${f.number(e.count)} 条 ${e.of} 类条目只计数、未写入。`,
  probed: (e) => `店员按下按钮测试${e.sound ? "摄像头和麦克风" : "摄像头"}（第 ${e.session} 场）；内容不离开盒子。`,
});
