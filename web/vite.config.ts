import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { words } from './words.ts';

// Names without hashes: the built files are checked in, and the server revalidates them by ETag.
export default defineConfig({
  base: '/',
  plugins: [svelte(), words()],
  build: {
    outDir: '../crates/api/page',
    emptyOutDir: true,
    target: 'es2022',
    minify: 'terser',
    terserOptions: { compress: { passes: 3, ecma: 2020 }, format: { comments: false } },
    modulePreload: false,
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        entryFileNames: 'assets/[name].js',
        chunkFileNames: ({ name }) => `assets/${name.replace(/^.*words\//, 'words-')}.js`,
        assetFileNames: 'assets/[name][extname]',
      },
    },
  },
  // `npm run dev` beside a running engine
  server: { proxy: { '/v1': 'http://127.0.0.1:8080', '/openapi.json': 'http://127.0.0.1:8080' } },
});
