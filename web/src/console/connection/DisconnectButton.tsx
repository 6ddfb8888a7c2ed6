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
      <Modal.Root opened={opened} onClose={close} centered>
        <Modal.Overlay />
        <Modal.Content radius="lg">
          <Modal.Body p="lg">
            <Stack>
              <Modal.Title fz="lg" fw={650}>
                Disconnect OrangeHRM?
              </Modal.Title>
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
          </Modal.Body>
        </Modal.Content>
      </Modal.Root>
    </>
  );
}
