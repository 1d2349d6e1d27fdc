/** Connections from addresses that may not send: each must hear one line, and be ended. */
import { connect } from "node:net";

/** Half of them come from few addresses again and again, half from addresses that were never seen before. */
const REGULARS = 200;
/** So many at a time. */
const AT_A_TIME = 32;

/** Knocks from here on; numbers go on where the call before ended. */
export class Strangers {
  /** One line for each knock that was not answered as it must be. */
  readonly faults: string[] = [];
  readonly #port: number;
  #knocked = 0;

  constructor(port: number) {
    this.#port = port;
  }

  async knock(times: number): Promise<void> {
    const end = this.#knocked + times;
    await Promise.all(
      Array.from({ length: AT_A_TIME }, async () => {
        while (this.#knocked < end && this.faults.length === 0) {
          const address = addressOf(this.#knocked++);
          const heard = await knockOnce(this.#port, address);
          if (!/^554 5\.7\.1 [^\r]*\r\n$/.test(heard)) this.faults.push(`${address} heard ${JSON.stringify(heard)}`);
        }
      }),
    );
  }
}

/** 127.0.7.x for the regulars, from 127.64.0.0 upwards for the others. */
function addressOf(number: number): string {
  if (number % 2 === 0) return `127.0.7.${1 + ((number / 2) % REGULARS)}`;
  const at = (number - 1) / 2;
  return `127.${64 + ((at >> 16) & 63)}.${(at >> 8) & 255}.${at & 255}`;
}

function knockOnce(port: number, localAddress: string): Promise<string> {
  return new Promise((resolve) => {
    let heard = "";
    const socket = connect({ host: "127.0.0.1", port, localAddress });
    socket.on("data", (chunk: Buffer) => (heard += chunk.toString("latin1")));
    socket.on("error", (error) => (heard += `(${error.message})`));
    socket.once("close", () => resolve(heard));
  });
}
