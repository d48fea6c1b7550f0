// What a person does with Thunderbird: logs in, has INBOX kept offline, stars a message, marks one unread and archives it,
// deletes one, and waits for one that comes in meanwhile. PORT and CERTIFICATE are put before this.
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const until = async (what, question) => {
  for (let turn = 0; turn < 400; turn++) {
    const answer = question();
    if (answer) return answer;
    await new Promise(resolve => window.setTimeout(resolve, 50));
  }
  throw new Error(`this does not come: ${what}`);
};
const finished = start => new Promise((resolve, reject) => start({
  QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
  OnStartRunningUrl() {},
  OnStopRunningUrl(url, code) { code ? reject(new Error(`${url.spec}: ${code}`)) : resolve(); },
}));

const certificate = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).constructX509FromBase64(CERTIFICATE);
Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService)
  .rememberValidityOverride("localhost", PORT, {}, certificate, false);
const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
login.init("imap://localhost", null, "imap://localhost", "alice@example.test", "mailwright", "", "");
await Services.logins.addLoginAsync(login);

const server = MailServices.accounts.allServers.find(one => one.type == "imap");
server.performExpand(null);
const folder = flag => server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags[flag]);
const inbox = await until("INBOX", () => folder("Inbox"));
inbox.setFlag(Ci.nsMsgFolderFlags.Offline);
await finished(listener => inbox.QueryInterface(Ci.nsIMsgImapMailFolder).updateFolderWithListener(null, listener));
await finished(listener => inbox.downloadAllForOffline(listener, null));

const here = () => [...inbox.messages].sort((a, b) => a.messageKey - b.messageKey);
await until("bodies", () => here().length == 4 && here().every(one => one.flags & Ci.nsMsgMessageFlags.Offline));
const shown = here().map(one => [one.messageKey, one.messageId, one.mime2DecodedSubject, one.isRead]);

const [archive, trash] = [await until("Archive", () => folder("Archive")), await until("Trash", () => folder("Trash"))];
const [first, second, third] = here();
inbox.markMessagesFlagged([first], true);
inbox.markMessagesRead([second], true);
await new Promise((resolve, reject) => MailServices.copy.copyMessages(inbox, [second], archive, true, {
  QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]),
  onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() { return null; },
  onStopCopy(code) { code ? reject(new Error(`copy: ${code}`)) : resolve(); },
}, null, false));
inbox.deleteMessages([third], null, false, false, null, false);

// By IDLE: nothing asks for it.
const news = await until("news", () => here().find(one => one.mime2DecodedSubject == "meanwhile"));
return {
  shown,
  came: news.mime2DecodedSubject,
  special: [archive, trash, folder("Drafts"), folder("SentMail"), folder("Junk")].map(one => one.name),
  store: inbox.filePath.path,
};
