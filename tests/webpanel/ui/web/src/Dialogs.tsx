import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { SHORTCUTS } from "./shortcuts";
import { StartForm } from "./StartForm";
import { closeOpen, formOpen, helpOpen, steer } from "./state";

interface DialogProps {
  open: Signal<boolean>;
  title: string;
  children: ComponentChildren;
}

/** A modal dialog; the browser keeps the focus in it and gives it back. */
function Dialog({ open, title, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const dialog = element.current;
    if (open.value && dialog && !dialog.open) dialog.showModal();
    else if (!open.value) dialog?.close();
  }, [open.value]);
  return (
    <dialog
      ref={element}
      aria-label={title}
      // The event comes late: the dialog may be open again by then.
      onClose={() => element.current?.open || (open.value = false)}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.preventDefault();
        open.value = false;
      }}
      onClick={(event) => event.target === element.current && (open.value = false)}
    >
      {open.value && (
        <div class="inside">
          <h2>{title}</h2>
          {children}
        </div>
      )}
    </dialog>
  );
}

export const StartDialog = () => (
  <Dialog open={formOpen} title="New subscription">
    <StartForm autofocus />
  </Dialog>
);

export const CloseDialog = () => (
  <Dialog open={closeOpen} title="Close the subscription?">
    <p>It stops for good. What was counted so far stays here, and in the report.</p>
    <div class="row">
      <button
        class="danger"
        onClick={() => {
          closeOpen.value = false;
          void steer("close");
        }}
      >
        Close it
      </button>
      <button autofocus onClick={() => (closeOpen.value = false)}>
        Keep it running
      </button>
    </div>
  </Dialog>
);

export const HelpDialog = () => (
  <Dialog open={helpOpen} title="Keyboard shortcuts">
    <dl class="keys">
      {SHORTCUTS.map(([keys, what]) => (
        <div key={keys}>
          <dt>
            {keys.split(" ").map((key) => (
              <kbd key={key}>{key}</kbd>
            ))}
          </dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
    <button onClick={() => (helpOpen.value = false)}>Done</button>
  </Dialog>
);
