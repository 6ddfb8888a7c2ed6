import { Button, Group, Modal, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation } from 'urql';
import { announceChange } from '../gateway/changes';
import { Disconnect } from '../gateway/operations';
import { problemOf } from '../gateway/problem';
import { ProblemAlert } from '../shell/ProblemAlert';

export function DisconnectButton() {
  const [opened, { open, close }] = useDisclosure(false);
  const [{ fetching, error }, disconnect] = useMutation(Disconnect);
  const problem = fetching ? undefined : problemOf(error);
  const confirm = async () => {
    const { error } = await disconnect({});
    if (!error) close();
    announceChange();
  };
  return (
    <>
      <Button variant="default" onClick={open}>
        Disconnect
      </Button>
      <Modal
        opened={opened}
        onClose={close}
        title="Disconnect OrangeHRM?"
        centered
        closeButtonProps={{ 'aria-label': 'Close' }}
      >
        <Stack>
          {problem && <ProblemAlert problem={problem} />}
          <Text>
            Intuned deletes its session with OrangeHRM. To read claims again you have to connect anew.
          </Text>
          <Group justify="flex-end">
            <Button variant="default" onClick={close} data-autofocus>
              Keep it
            </Button>
            <Button color="red" loading={fetching} onClick={confirm}>
              Disconnect
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
