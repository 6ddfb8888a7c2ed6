import { Group, Loader, Text, Timeline } from '@mantine/core';
import {
  IconAlertTriangle,
  IconBan,
  IconCheck,
  IconHourglass,
  IconKey,
  IconMessageQuestion,
  IconSend,
} from '@tabler/icons-react';
import { inWords } from './ElapsedTime';
import type { OperationEvent } from './useOperation';

const ICONS = {
  STARTING: IconSend,
  PENDING: IconHourglass,
  IN_PROGRESS: IconKey,
  REQUESTED_MORE_INFO: IconMessageQuestion,
  DONE: IconCheck,
  FAILED: IconAlertTriangle,
  CANCELED: IconBan,
};

const COLORS: Partial<Record<OperationEvent['status'], string>> = { DONE: 'teal', FAILED: 'red', CANCELED: 'gray' };

/** Every change of an operation, the latest last. */
export function History({ changes, running }: { changes: OperationEvent[]; running: boolean }) {
  const last = changes.length - 1;
  return (
    <Timeline active={last} bulletSize={28} lineWidth={2} color="indigo">
      {changes.map(({ sequence, status, message, elapsedMs, occurredAt }, index) => {
        const Icon = ICONS[status];
        const isWorking = running && index === last && status !== 'REQUESTED_MORE_INFO';
        return (
          <Timeline.Item
            key={sequence}
            color={COLORS[status]}
            bullet={isWorking ? <Loader size={14} color="white" /> : <Icon size={16} />}
          >
            <Group justify="space-between" gap="xs" align="baseline" mt={2}>
              <Text fz="sm">{message}</Text>
              <Text component="time" dateTime={occurredAt} fz="xs" c="dimmed">
                {CLOCK.format(new Date(occurredAt))} · {inWords(elapsedMs)}
              </Text>
            </Group>
          </Timeline.Item>
        );
      })}
    </Timeline>
  );
}

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
