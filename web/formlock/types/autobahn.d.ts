// The part of AutobahnJS that connect.js uses; the package has no types of its own.

declare module 'autobahn' {
  export interface Deferred {
    promise: Promise<unknown>;
    resolve(value: unknown): void;
    reject(reason: unknown): void;
  }
  export interface WampError {
    error: string;
    args?: unknown[];
    kwargs?: Record<string, unknown>;
  }
  export interface Subscription {
    unsubscribe(): Promise<unknown>;
  }
  export interface Session {
    readonly id: number;
    readonly isOpen: boolean;
    call(procedure: string, args: unknown[], kwargs: object): Promise<unknown>;
    subscribe(topic: string, handler: (args: unknown[], kwargs: Record<string, unknown>) => void, options?: { match: string }): Promise<Subscription>;
  }
  export interface ConnectionOptions {
    transports: { type: 'websocket'; url: string; serializers: unknown[] }[];
    realm: string;
    authmethods: string[];
    authid?: string;
    authextra: object;
    onchallenge(session: Session, method: string, extra: object): string;
    max_retries: number;
    use_deferred: () => Deferred;
    on_user_error(error: unknown, message?: string): void;
    on_internal_error(error: unknown, message?: string): void;
  }
  export interface CloseDetails {
    reason: string | null;
    message: string | null;
  }
  export class Connection {
    constructor(options: ConnectionOptions);
    onopen: ((session: Session, welcome: Record<string, any>) => void) | null;
    onclose: ((reason: string, details: CloseDetails) => boolean | void) | null;
    readonly transport: { close?(): void } | null;
    open(): void;
    close(): void;
  }
  const autobahn: {
    Connection: typeof Connection;
    serializer: { JSONSerializer: new () => unknown };
  };
  export default autobahn;
}
