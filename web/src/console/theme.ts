import { type CSSVariablesResolver, createTheme } from '@mantine/core';

export const theme = createTheme({
  primaryColor: 'indigo',
  primaryShade: { light: 8, dark: 8 },
  colors: {
    // Grays that go with the indigo.
    dark: [
      '#d8dce6',
      '#b6bccb',
      '#8e96a9',
      '#5d667b',
      '#3d4559',
      '#2d3446',
      '#1e2432',
      '#171b26',
      '#11141d',
      '#0c0e15',
    ],
  },
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  fontFamily: 'Inter, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif',
  headings: { fontWeight: '650' },
});

/** Mantine's softest texts are too pale to read for some: these have a contrast of 4.5 to 1 and more. */
export const readableColors: CSSVariablesResolver = (theme) => {
  const shades = (shade: number, opacity: string) =>
    Object.fromEntries(
      ['indigo', 'teal', 'red', 'orange', 'gray', 'blue'].flatMap((color) => [
        [`--mantine-color-${color}-light-color`, theme.colors[color]?.[shade] ?? ''],
        [
          `--mantine-color-${color}-light`,
          `color-mix(in srgb, var(--mantine-color-${color}-6) ${opacity}, transparent)`,
        ],
      ]),
    );
  return {
    variables: {},
    light: {
      '--mantine-color-dimmed': theme.colors.gray[7],
      '--mantine-color-placeholder': theme.colors.gray[6],
      '--mantine-color-error': theme.colors.red[9],
      '--mantine-color-anchor': theme.colors.indigo[8],
      ...shades(9, '10%'),
      '--mantine-color-orange-light-color': '#a33a06',
      '--mantine-color-teal-light-color': '#06684d',
    },
    dark: {
      '--mantine-color-dimmed': theme.colors.dark[1],
      '--mantine-color-placeholder': theme.colors.dark[2],
      '--mantine-color-error': theme.colors.red[4],
      '--mantine-color-anchor': theme.colors.indigo[3],
      ...shades(2, '18%'),
    },
  };
};
